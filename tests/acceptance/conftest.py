"""The whole chain, run once over the real nights: the tests look at what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import pytest

from boom_streams import names
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
from tests.acceptance.transients import fast_transients
from tests.conftest import MakeSettings, own_settings

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

Archive = dict[str, dict[Any, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Nights:
    """What came out of the real nights.

    Attributes
    ----------
    counts
        Of each replay, by name: ``once`` and ``twice`` are the night 20231018.
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
        run.await_workers(settings, supervisor.poll)
        yield supervisor


@pytest.fixture(scope="session")
def session_settings(services: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSettings]:
    """`make_settings` whose databases and topics stay until the end of the session."""
    with own_settings(services, tmp_path_factory.mktemp("chain")) as make:
        yield make


@pytest.fixture(scope="session")
def nights(session_settings: MakeSettings, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Run the night 20231018 twice, then every other night of ZTF, then made-up fast transients."""
    settings = session_settings()
    changes = add_filters(settings, shared)
    ztf = shared / "data/alerts/ztf"
    reference = shared / "data/alerts/reference/ztf"
    others = [ztf / name for name in ("schema_history", "ampel", "20200202", "20211121_snappy", "20231012")]
    made = fast_transients(tmp_path_factory.mktemp("made"), next(reference.glob("*.avro")))
    counts = {}
    with running(settings) as supervisor:

        def night(name: str, *paths: Path) -> Archive:
            counts[name] = replay(settings, "ZTF", paths)
            run.drain(settings, supervisor.poll)
            return archive(settings)

        once = night("once", ztf / "20231018")
        twice = night("twice", ztf / "20231018")
        night("others", *others, reference)
        night("made", *made)
    return Nights(
        settings=settings,
        counts=counts,
        once=once,
        twice=twice,
        changes=changes,
        passed={name: passed(settings, name) for name in FILTERS},
        letters=dead_letters.letters(settings),
    )


def add_filters(settings: Settings, shared: Path) -> dict[str, list[str]]:
    """Add and activate the real filters; what was translated in each."""
    initialise(settings)
    store = FilterStore(mongo.database(settings))
    changes = {}
    for name, (source, programids) in FILTERS.items():
        pipeline = load_pipeline(shared, source)
        changes[name] = store.add(name, "ZTF", pipeline, {"ZTF": programids}).changes
        store.activate(name)
    return changes


def load_pipeline(shared: Path, source: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pipeline of a file of `shared/data/filters`; one that is a pipeline already is returned."""
    return json.loads((shared / "data/filters" / source).read_text()) if isinstance(source, str) else source


def packets(folder: Path) -> Iterator[dict[str, Any]]:
    """Packets of a night, read by fastavro alone."""
    for path in sorted(path for path in folder.rglob("*.avro") if path.is_file()):
        with path.open("rb") as file:
            yield from fastavro.reader(file)  # type: ignore[misc]
