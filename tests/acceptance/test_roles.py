"""Each role in a process of its own: MongoDB may be away, and bad records stop nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bson
import pytest
from click.testing import CliRunner

from boom_streams import dead, demo, mongo, names, offsets
from boom_streams import services as local
from boom_streams.cli import cli
from boom_streams.filters import FilterStore
from boom_streams.replay import replay
from boom_streams.settings import Settings
from boom_streams.supervise import Supervisor, environment
from boom_streams.writer import Writer
from tests.acceptance.conftest import Archive, archive, packets, passed, running
from tests.acceptance.test_worker import wait_for
from tests.conftest import MakeSettings

#: Alerts of the night that is replayed while MongoDB is away.
ALERTS = 110


@dataclass(frozen=True, slots=True)
class Roles:
    """Workers that run, with a MongoDB that can be stopped without harm to other tests."""

    settings: Settings
    supervisor: Supervisor
    mongod: Path


@pytest.fixture(scope="module")
def roles(session_settings: MakeSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """One worker a role, and a filter that takes bright alerts."""
    folder = tmp_path_factory.mktemp("mongod")
    try:
        uri = local.start(folder, only="mongod").mongo_uri
        settings = session_settings(partitions=4, mongo_uri=uri, archive_patience=1.0)
        database = mongo.database(settings)
        store = FilterStore(database)
        bright = [{"$match": {"candidate.magpsf": {"$lt": 18}}}, {"$project": {"objectId": 1}}]
        store.add("bright", "ZTF", bright, {"ZTF": [1, 2, 3]})
        store.activate("bright")
        with running(settings) as supervisor:
            yield Roles(settings, supervisor, folder)
    finally:
        local.stop(folder)


def records(settings: Settings, stage: str) -> int:
    topic = names.topic("ZTF", stage, settings.topic_prefix)
    return sum(1 for _ in offsets.scan(settings, [topic]))


def bright(folder: Path) -> set[int]:
    return {packet["candid"] for packet in packets(folder) if packet["candidate"]["magpsf"] < 18}


def test_without_mongodb_enriched_and_classified_go_on_and_the_rest_follows(roles: Roles, shared: Path) -> None:
    settings = roles.settings
    first, second = (shared / "data/alerts/ztf" / name for name in ("20200202", "20211121_snappy"))
    replay(settings, "ZTF", [first])
    demo.drain(settings, roles.supervisor.poll)
    local.stop(roles.mongod, only="mongod", kill=True)
    replay(settings, "ZTF", [second])
    for stage in ("enriched", "classified"):
        wait_for(lambda stage=stage: records(settings, stage) == 12 + ALERTS)  # type: ignore[misc]
    assert roles.supervisor.poll() == []
    local.start(roles.mongod, only="mongod")
    demo.drain(settings, roles.supervisor.poll)
    found = archive(settings)
    sent = {packet["candid"] for night in (first, second) for packet in packets(night)}
    assert {alert["_id"] for alert in found["alerts"].values()} == sent
    assert all("candidate" in alert and "properties" in alert for alert in found["alerts"].values())
    assert len(found["alerts_cutouts"]) == len(sent)
    assert set(passed(settings, "bright")) == bright(first) | bright(second)
    assert {match["candid"] for match in found["filter_matches"].values()} == bright(first) | bright(second)
    assert dead.letters(settings) == []


def test_a_poison_record_at_each_stage_is_one_dead_letter_and_the_others_go_on(roles: Roles, shared: Path) -> None:
    settings = roles.settings
    before = archive(settings)
    poison(settings)
    night = shared / "data/alerts/ztf/20231012"
    assert replay(settings, "ZTF", [night]).alerts == 24
    demo.drain(settings, roles.supervisor.poll)
    assert roles.supervisor.poll() == []
    found = {(letter.topic.rpartition(".")[2], letter.stage): letter for letter in dead.letters(settings)}
    print([(key, letter.reason) for key, letter in found.items()])
    added = new(archive(settings), before)
    assert added == {packet["candid"] for packet in packets(night)}


def new(after: Archive, before: Archive) -> set[int]:
    return {alert["_id"] for key, alert in after["alerts"].items() if key not in before["alerts"]}


def poison(settings: Settings) -> None:
    """Junk in every topic that a stage or a sink reads."""
    writer = Writer(settings)
    for stage in ("raw", "enriched", "classified", "filtered"):
        topic = names.topic("ZTF", stage, settings.topic_prefix)
        writer.send(topic, b"\x00junk", b"junk", 1, {})
        writer.send(topic, bson.encode({"survey": "ZTF", "candid": "no number"}), b"junk", 2, {})
    writer.finish()
