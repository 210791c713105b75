"""Each role in a process of its own: MongoDB may be away, and bad records stop nobody."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bson
import pytest
from click.testing import CliRunner

from boom_streams import names
from boom_streams import services as local
from boom_streams.archive import mongo
from boom_streams.cli import cli
from boom_streams.demo import run
from boom_streams.filters import FilterStore
from boom_streams.ingest.replay import replay
from boom_streams.kafka import reading
from boom_streams.kafka.writer import Writer
from boom_streams.operate import dead_letters
from boom_streams.operate.supervise import Supervisor, environment
from boom_streams.settings import Settings
from boom_streams.settings import current_settings as boom_settings
from tests.acceptance.conftest import archive, packets, passed, running
from tests.conftest import MakeSettings
from tests.support.waiting import wait_for

#: Values that no stage can use: no BSON and no Avro; BSON without what an alert has.
BAD = (b"\x00junk", bson.encode({"survey": "ZTF", "candid": "no number"}))

#: Stages that read a topic; each of them gives up the same record, which is one letter.
READ_BY = {
    "raw": {"enrich"},
    "enriched": {"classify", "sink_enriched"},
    "classified": {"filter", "sink_classified"},
    "filtered": {"sink_filtered"},
}

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
    return sum(1 for _ in reading.scan(settings, [topic]))


def bright(folder: Path) -> set[int]:
    return {packet["candid"] for packet in packets(folder) if packet["candidate"]["magpsf"] < 18}


def test_without_mongodb_enriched_and_classified_go_on_and_the_rest_follows(
    roles: Roles, some_night: Callable[[str], Path]
) -> None:
    settings = roles.settings
    first, second = map(some_night, ("20200202", "20211121_snappy"))
    replay(settings, "ZTF", [first])
    run.drain(settings, roles.supervisor.poll)
    local.stop(roles.mongod, only="mongod", kill=True)
    replay(settings, "ZTF", [second])
    for stage in ("enriched", "classified"):
        wait_for(lambda stage=stage: records(settings, stage) == 12 + ALERTS, seconds=120.0)  # type: ignore[misc]
    assert roles.supervisor.poll() == []
    local.start(roles.mongod, only="mongod")
    run.drain(settings, roles.supervisor.poll)
    found = archive(settings)
    sent = {packet["candid"] for night in (first, second) for packet in packets(night)}
    assert {alert["_id"] for alert in found["alerts"].values()} == sent
    fields = {"candidate", "properties", "classifications", "coordinates", "created_at"}
    assert {key: fields - alert.keys() for key, alert in found["alerts"].items() if fields - alert.keys()} == {}
    assert len(found["alerts_cutouts"]) == len(sent)
    assert set(passed(settings, "bright")) == bright(first) | bright(second)
    assert {match["candid"] for match in found["filter_matches"].values()} == bright(first) | bright(second)
    assert dead_letters.letters(settings) == []


def test_a_bad_record_at_each_stage_is_one_dead_letter_and_the_others_go_on(
    roles: Roles, some_night: Callable[[str], Path]
) -> None:
    settings = roles.settings
    before = set(archive(settings)["alerts"])
    known = {letter.id for letter in dead_letters.letters(settings)}
    spoil(settings)
    night = some_night("20231012")
    replay(settings, "ZTF", [night])
    run.drain(settings, roles.supervisor.poll)
    assert roles.supervisor.poll() == []
    assert set(archive(settings)["alerts"]) - before == {repr(packet["candid"]) for packet in packets(night)}
    letters = [letter for letter in dead_letters.letters(settings) if letter.id not in known]
    assert Counter(letter.topic.rpartition(".")[2] for letter in letters) == dict.fromkeys(READ_BY, len(BAD))
    for letter in letters:
        assert letter.stage in READ_BY[letter.topic.rpartition(".")[2]]
        assert letter.reason
        assert dead_letters.read_value(settings, letter) in BAD


def test_a_bad_record_is_listed_shown_and_replayed(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = roles.settings
    topic = names.topic("ZTF", "filtered", settings.topic_prefix)
    writer = Writer(settings)
    writer.send(topic, BAD[1], b"listed", 3)
    writer.finish()
    run.drain(settings, roles.supervisor.poll)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    boom_settings.cache_clear()
    (letter,) = [found for found in dead_letters.letters(settings) if found.key == b"listed"]
    assert letter.id in boom("dead", "list", "--json")
    shown = json.loads(boom("dead", "show", letter.id, "--json"))
    assert (shown["stage"], shown["reason"], shown["key"]) == (letter.stage, letter.reason, "listed")
    assert shown["reason"]
    boom("dead", "replay", letter.id)
    run.drain(settings, roles.supervisor.poll)
    (again,) = [found for found in dead_letters.letters(settings) if found.key == b"listed"]
    assert (again.topic, again.partition, again.reason) == (letter.topic, letter.partition, letter.reason)
    assert again.offset > letter.offset
    boom_settings.cache_clear()


def boom(*arguments: str) -> str:
    """Output of a command that succeeds."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def spoil(settings: Settings) -> None:
    """Bad records in every topic that a stage or a sink reads."""
    writer = Writer(settings)
    for stage in READ_BY:
        for partition, value in enumerate(BAD):
            writer.send(names.topic("ZTF", stage, settings.topic_prefix), value, b"bad", partition)
    writer.finish()
