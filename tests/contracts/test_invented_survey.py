"""A survey that nothing here was written for goes through the whole chain: one folder, and no line elsewhere."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from boom_streams import archive, names
from boom_streams.archive import mongo
from boom_streams.demo import run
from boom_streams.filters import FilterStore
from boom_streams.filters.running.on_archive import archive_pipeline
from boom_streams.ingest.replay import replay
from boom_streams.operate import dead_letters
from boom_streams.page import Night, render
from boom_streams.publish.results import passing
from boom_streams.settings import Settings
from boom_streams.surveys import get_survey, known_surveys
from tests.acceptance.test_worker import await_topics, end, worker
from tests.conftest import MakeSettings
from tests.contracts.mayfly.packets import night, packet
from tests.contracts.mayfly.survey import candid_of
from tests.support.html_tree import parse

#: Bright ones, with what the filter reads of every light curve.
BRIGHT: list[dict[str, Any]] = [
    {"$match": {"candidate.flux": {"$gt": 210_000.0}, "candidate.band": {"$in": ["blue", "red"]}}},
    {
        "$project": {
            "objectId": 1,
            "annotations": {
                "seen": {"$size": "$sightings"},
                "not_seen": {"$size": "$blanks"},
                "blue": {"$size": {"$filter": {"input": "$remeasured", "cond": {"$eq": ["$$this.band", "blue"]}}}},
            },
        }
    },
]


@dataclass(frozen=True)
class Outcome:
    """What the chain made of MAYFLY's night."""

    settings: Settings
    documents: dict[str, dict[Any, dict[str, Any]]]
    results: list[dict[str, Any]]


@pytest.fixture
def outcome(mayfly: str, make_settings: MakeSettings, root: Path, tmp_path: Path) -> Outcome:
    settings = make_settings(partitions=2, surveys=(mayfly,), init=True)
    folder = tmp_path / "night"
    folder.mkdir()
    for number, container in enumerate([*night(), packet(sighting=BROKEN)]):
        (folder / f"{number}.avro").write_bytes(container)
    store = FilterStore(mongo.database(settings))
    archive.ensure(mongo.database(settings), settings.surveys)
    store.add("bright", mayfly, BRIGHT, None)
    store.activate("bright")
    with worker(settings, root) as process:
        await_topics(settings)
        replay(settings, mayfly, [folder])
        run.drain(settings, running="all")
        end(process, signal.SIGTERM)
    database = mongo.database(settings)
    kinds = ("alerts", "alerts_aux", "alerts_cutouts", "filter_matches")
    documents = {
        kind: {repr(found["_id"]): found for found in database[names.collection(mayfly, kind)].find()} for kind in kinds
    }
    return Outcome(settings, documents, [found.alert for found in passing(settings, "bright", quiet_seconds=2)])


#: A sighting without a place.
BROKEN = {
    **{"t": 60000.0, "band": "blue", "flux": 1.0, "error": 1.0, "uid": "x", "ra": -1.0, "dec": 0.0, "realness": 0.0},
    "note": "",
}


def test_it_is_archived_filtered_and_shown(outcome: Outcome) -> None:
    check_alerts(outcome)
    check_object(outcome.documents["alerts_aux"]["'mayfly one'"])
    check_results(outcome)
    check_page(outcome)
    (letter,) = dead_letters.letters(outcome.settings)
    assert "it was at -1.0" in letter.reason


def check_alerts(outcome: Outcome) -> None:
    """Every alert is there, with its flags, statistics and stamps."""
    alerts = outcome.documents["alerts"]
    uids = [f"mayfly one/{n}" for n in (0, 1, 2)] + ["mayfly two/0", "mayfly: three:7/0"]
    assert {alert["_id"] for alert in alerts.values()} == {candid_of(uid) for uid in uids}
    last = alerts[repr(candid_of("mayfly one/2"))]
    assert last["candidate"]["note"].count("cloud") == 3
    assert last["properties"]["bright"]
    assert last["properties"]["stationary"]
    assert set(last["properties"]["photstats"]) == {"blue", "red"}
    stamps = outcome.documents["alerts_cutouts"][repr(last["_id"])]
    assert set(stamps) == {"_id", "new", "old", "change"}


def check_object(stored: dict[str, Any]) -> None:
    """An object's light curves are those of all of its packets, each point once, as the latest packet has it."""
    assert [point["candid"] for point in stored["sightings"]] == [candid_of(f"mayfly one/{n}") for n in range(-2, 3)]
    assert [point.get("own", False) for point in stored["sightings"]] == [False, False, True, True, True]
    assert [point["band"] for point in stored["sightings"]] == ["blue", "red", "blue", "red", "blue"]
    assert len(stored["blanks"]) == 3
    assert [point["good"] for point in stored["remeasured"]] == [True, True, True, False]


def check_results(outcome: Outcome) -> None:
    """What passed is what the archive says, with photometry of every role, and stamps under the names of records."""
    assert [result["objectId"] for result in outcome.results] == ["mayfly one"] * 2
    last = max(outcome.results, key=lambda result: result["jd"])
    assert (last["band"], round(last["magnitude"], 2)) == ("blue", 17.95)
    assert {point["origin"] for point in last["photometry"]} == {"alert", "limit", "forced"}
    assert {point["band"] for point in last["photometry"]} == {"blue", "red"}
    assert last["cutoutScience"]
    assert last["cutouts_missing"] is None
    (passed,) = last["filters"]
    assert json.loads(passed["annotations"]) == {"seen": 5, "not_seen": 3, "blue": 4}
    database = mongo.database(outcome.settings)
    (one,) = FilterStore(database).load_active("MAYFLY")
    again = database[names.collection("MAYFLY", "alerts")].aggregate(archive_pipeline(one))
    assert {found["_id"]: found["annotations"]["not_seen"] for found in again}[last["candid"]] == 3
    matches = outcome.documents["filter_matches"].values()
    assert {match["candid"] for match in matches} == {result["candid"] for result in outcome.results}


def check_page(outcome: Outcome) -> None:
    """The page draws its stamps the right way up, and links to what the survey names."""
    tree = parse(render(Night("a night of mayflies"), outcome.results))
    card = tree.all("article")[0]
    assert len(card.all("svg", "compass")) == 3
    assert "5″" in card.all("svg", "compass")[0].text
    assert "https://mayfly.example/mayfly one" in [link["href"] for link in card.all("a")]


def test_it_is_known_while_its_package_is_installed(mayfly: str) -> None:
    assert mayfly in known_surveys()
    assert get_survey("mayfly") is get_survey(mayfly)
