"""The whole chain, run once over a made-up night and once over the real ones: the tests look at what came out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import pytest

from boom_streams import filters, names
from boom_streams.archive import mongo
from boom_streams.demo import run
from boom_streams.filters import FilterStore
from boom_streams.ingest.replay import Counts, replay
from boom_streams.kafka.reading import scan
from boom_streams.operate import dead_letters
from boom_streams.operate.prepare import initialise
from boom_streams.operate.supervise import Supervisor
from boom_streams.schema.dead_letters import DeadLetter
from boom_streams.schema.filtered import decode_filtered
from boom_streams.settings import Settings
from tests.acceptance import made_up
from tests.acceptance.transients import fast_transients
from tests.conftest import ROOT, MakeSettings, own_settings

KINDS = ("alerts", "alerts_aux", "alerts_cutouts", "filter_matches")

#: The filter that `expected_results.json` describes for the reference alert.
PUBLISHED = [
    {
        "$match": {
            "prv_candidates.0": {"$exists": True},
            "candidate.drb": {"$gt": 0.5},
            "candidate.ndethist": {"$gt": 1},
            "candidate.magpsf": {"$lte": 18.5},
        }
    },
    {"$project": {"objectId": 1, "annotations.mag_now": {"$round": ["$candidate.magpsf", 2]}}},
]

#: Filters: the name that each has here, a real user's file or a pipeline, and the programmes that it may see.
FILTERS: dict[str, tuple[str | list[dict[str, Any]], list[int]]] = {
    "published": (PUBLISHED, [1]),
    "fast": ("boom/fast.json", [1, 2, 3]),
    "fast-7-days": ("boom/fast~eb1bf27a.json", [1, 2, 3]),
    "cats150": ("cats150/boom_throughput.pipeline.json", [1, 2, 3]),
    "fritz-01": ("fritz/fritz_filter_01.json", [1]),
    "fritz-02": ("fritz/fritz_filter_02.json", [1]),
}

#: Filters of the made-up night: the examples, and one in the words of Kowalski.
MADE_UP_FILTERS: dict[str, tuple[str | list[dict[str, Any]], list[int]]] = {
    "published": (PUBLISHED, [1]),
    **{file.stem: (str(file), [1, 2, 3]) for file in sorted((Path(filters.__file__).parent / "examples").glob("*"))},
    "kowalski": (
        [
            {"$project": {"cutoutScience": 0, "cutoutTemplate": 0, "cutoutDifference": 0}},
            {"$lookup": {"from": "ZTF_alerts_aux", "localField": "objectId", "foreignField": "_id", "as": "aux"}},
            {
                "$project": {
                    "objectId": 1,
                    "candidate": 1,
                    "prv_candidates": {
                        "$filter": {
                            "input": {"$arrayElemAt": ["$aux.prv_candidates", 0]},
                            "as": "item",
                            "cond": {"$in": ["$$item.programid", [1]]},
                        }
                    },
                }
            },
            {"$match": {"candidate.drb": {"$gt": 0.9}, "prv_candidates.1": {"$exists": True}}},
            {"$project": {"objectId": 1, "annotations.bright": {"$min": "$prv_candidates.magpsf"}}},
        ],
        [1],
    ),
}

Archive = dict[str, dict[Any, dict[str, Any]]]
Pipelines = Mapping[str, tuple[list[dict[str, Any]], list[int]]]


@dataclass(frozen=True, slots=True)
class Nights:
    """What came out of the nights.

    Attributes
    ----------
    night
        Folder of the night that was sent twice.
    counts
        Of each replay, by name: ``once`` and ``twice`` are that night.
    once, twice
        The archive after that night, and after the same night again.
    changes
        What was translated in each filter.
    passed
        Candids in the topic of each filter, in the order of the topic's partitions.
    letters
        Dead letters.
    """

    settings: Settings
    night: Path
    counts: dict[str, Counts]
    once: Archive
    twice: Archive
    changes: dict[str, list[str]]
    passed: dict[str, list[int]]
    letters: list[DeadLetter]


def archive(settings: Settings) -> Archive:
    """Every document of the archive, by kind of collection and by ``_id``."""
    database = mongo.database(settings)
    return {
        kind: {repr(found["_id"]): found for found in database[names.collection("ZTF", kind)].find()} for kind in KINDS
    }


def passed(settings: Settings, name: str) -> list[int]:
    """Candids in the topic of a filter."""
    topic = names.filter_topic(name, settings.topic_prefix)
    return [decode_filtered(message.value() or b"")["candid"] for message in scan(settings, [topic])]


@contextmanager
def running(settings: Settings) -> Iterator[Supervisor]:
    """One worker a role, which has joined its group."""
    initialise(settings)
    with Supervisor(settings) as supervisor:
        run.await_workers(settings, len(supervisor.members()), supervisor.poll)
        yield supervisor


@pytest.fixture(scope="session")
def session_settings(services: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSettings]:
    """`make_settings` whose databases and topics stay until the end of the session."""
    with own_settings(services, tmp_path_factory.mktemp("chain")) as make:
        yield make


@pytest.fixture(scope="session")
def some_night(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a real night, or where there is none of a made-up one with as many alerts."""
    folder = tmp_path_factory.mktemp("nights")

    def find(name: str) -> Path:
        real = ROOT.parent / "shared/data/alerts/ztf" / name
        return real if real.is_dir() else made_up.night(folder, name)

    return find


@pytest.fixture(scope="session")
def real_nights(session_settings: MakeSettings, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Run the night 20231018 twice, then every other night of ZTF, then made-up fast transients."""
    ztf = shared / "data/alerts/ztf"
    reference = shared / "data/alerts/reference/ztf"
    others = [ztf / name for name in ("schema_history", "ampel", "20200202", "20211121_snappy", "20231012")]
    made = fast_transients(tmp_path_factory.mktemp("made"), next(reference.glob("*.avro")))
    own = {name: (load_pipeline(shared, source), programids) for name, (source, programids) in FILTERS.items()}
    return run_nights(session_settings(), own, ztf / "20231018", [*others, reference], made)


@pytest.fixture(scope="session")
def made_up_nights(session_settings: MakeSettings, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Run a made-up night twice, then an alert in every schema version and two files that are broken."""
    folder = tmp_path_factory.mktemp("made_up")
    night = made_up.night(folder, "20231018")
    made_up.every_version(folder / "others")
    made_up.broken(folder / "others")
    made_up.truncated(folder / "others")
    own = {name: (load_pipeline(folder, source), ids) for name, (source, ids) in MADE_UP_FILTERS.items()}
    return run_nights(session_settings(), own, night, [folder / "others"])


@pytest.fixture(params=["made_up", "real"])
def nights(request: pytest.FixtureRequest) -> Nights:
    """The made-up nights and the real ones."""
    found: Nights = request.getfixturevalue(f"{request.param}_nights")
    return found


def run_nights(settings: Settings, pipelines: Pipelines, first: Path, *others: Sequence[Path]) -> Nights:
    """Run a night twice through filters and the whole chain, then others."""
    changes = add_filters(settings, pipelines)
    counts = {}
    with running(settings) as supervisor:

        def night(name: str, *paths: Path) -> Archive:
            counts[name] = replay(settings, "ZTF", paths)
            run.drain(settings, supervisor.poll)
            return archive(settings)

        once, twice = night("once", first), night("twice", first)
        for number, paths in enumerate(others):
            night(f"others {number}", *paths)
    return Nights(
        settings=settings,
        night=first,
        counts=counts,
        once=once,
        twice=twice,
        changes=changes,
        passed={name: passed(settings, name) for name in pipelines},
        letters=dead_letters.letters(settings),
    )


def add_filters(settings: Settings, pipelines: Pipelines) -> dict[str, list[str]]:
    """Add and activate filters; what was translated in each."""
    initialise(settings)
    store = FilterStore(mongo.database(settings))
    changes = {}
    for name, (pipeline, programids) in pipelines.items():
        changes[name] = store.add(name, "ZTF", pipeline, {"ZTF": programids}).changes
        store.activate(name)
    return changes


def load_pipeline(shared: Path, source: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pipeline of a file, or of one of `shared/data/filters`; one that is a pipeline already is returned."""
    if not isinstance(source, str):
        return source
    content = json.loads((shared / "data/filters" / source).read_text())
    pipeline: list[dict[str, Any]] = content["pipeline"] if isinstance(content, dict) else content
    return pipeline


def packets(place: Path) -> Iterator[dict[str, Any]]:
    """Packets of a night, or of a file, read by fastavro alone."""
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*.avro") if path.is_file())
    for path in files:
        with path.open("rb") as file:
            yield from fastavro.reader(file)  # type: ignore[misc]
