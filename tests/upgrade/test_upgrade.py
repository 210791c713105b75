"""A broker of release 0.1.0, stopped in the middle of a night, goes on with this release as if it had always run it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bson
import pytest

from boom_streams import names
from boom_streams.archive import formats, mongo
from boom_streams.errors import FormatError
from boom_streams.kafka.reading import scan
from boom_streams.kafka.writer import Writer
from boom_streams.operate import dead_letters
from boom_streams.operate.prepare import initialise
from boom_streams.operate.status import lag
from boom_streams.operate.supervise import Exit, Supervisor
from boom_streams.operate.worker_notes import waiting
from boom_streams.schema import bson_records
from boom_streams.schema.filtered import decode_filtered
from boom_streams.settings import Settings
from boom_streams.surveys import get_survey
from boom_streams.topologies.survey import ROLES
from tests.conftest import MakeSettings, own_settings
from tests.support.commands import run
from tests.support.waiting import wait_for
from tests.upgrade.load import Target, create_topics, fill_collections, load, produce
from tests.upgrade.sample import DATA, read, unpack_workers

FOLDER = DATA / "0.1.0"

#: What people have made, and not the stream.
GIVEN = ("filters", "catalogs", "catalog_tiles")

#: Fields that tell when, and in which order, alerts were processed.
PROCESSING = {"revision", "created_at", "updated_at"}

#: Seconds that the workers may take.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A broker of 0.1.0 that was upgraded and has worked.

    Attributes
    ----------
    refusal
        What was said before the archive was migrated.
    planned, said
        Output of `boom-streams migrate`, with ``--dry-run`` and without.
    """

    settings: Settings
    refusal: str
    planned: str
    said: str


@pytest.fixture(scope="module")
def make(services: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSettings]:
    with own_settings(services, tmp_path_factory.mktemp("upgrade")) as made:
        yield made


@pytest.fixture(scope="module", params=["disks are kept", "disks are lost"])
def upgraded(request: pytest.FixtureRequest, make: MakeSettings) -> Upgraded:
    """A broker that goes on from the sample, with the workers' disks and with empty ones."""
    settings = make(partitions=2)
    load(target(settings), FOLDER)
    if request.param == "disks are kept":
        unpack_workers(FOLDER, settings.data_dir / "workers")
    with pytest.raises(FormatError) as refusal:
        initialise(settings)
    planned, said = run(settings, "migrate", "--dry-run"), run(settings, "migrate", "--quiet")
    work(settings)
    return Upgraded(settings, str(refusal.value), planned, said)


@pytest.fixture(scope="module")
def fresh(make: MakeSettings) -> Settings:
    """A broker that has only known this release, and got the same raw records."""
    settings, sample = make(partitions=2), read(FOLDER)
    raw = names.topic("ZTF", "raw")
    create_topics(target(settings), [topic for topic in sample.topics if topic.name == raw])
    produce(target(settings), [record for record in sample.records if record.topic == raw])
    fill_collections(target(settings), [each for each in sample.collections if each.name in GIVEN])
    work(settings)
    return settings


def target(settings: Settings) -> Target:
    return Target(settings.kafka, settings.mongo_uri.get_secret_value(), settings.mongo_db, settings.topic_prefix)


def work(settings: Settings) -> None:
    """Run one worker a role until nothing is left to do."""
    initialise(settings)
    deadline = time.monotonic() + PATIENCE
    with Supervisor(settings, dict.fromkeys(ROLES, 1)) as supervisor:
        while left := {where: count for where, count in lag(settings).items() if count}:
            exits = supervisor.poll()
            logs = [supervisor.log_file(*exited.worker.rsplit("-", 1)).read_text() for exited in exits]  # type: ignore[arg-type]
            assert not exits, logs
            assert time.monotonic() < deadline, f"not done within {PATIENCE:g} s: {left}"
            time.sleep(0.2)


def archive(settings: Settings, kind: str) -> dict[Any, dict[str, Any]]:
    found = mongo.database(settings)[names.collection("ZTF", kind)].find()
    return {repr(document["_id"]): document for document in found}


def records(settings: Settings, stage: str) -> list[bytes]:
    return [message.value() or b"" for message in scan(settings, [names.topic("ZTF", stage, settings.topic_prefix)])]


def test_before_it_is_migrated_the_archive_is_refused_with_the_command(upgraded: Upgraded) -> None:
    assert "an earlier release wrote the archive" in upgraded.refusal
    assert "ZTF_alerts_aux has version 1 of its format" in upgraded.refusal
    assert "`boom-streams migrate`" in upgraded.refusal


def test_migrate_says_what_it_does(upgraded: Upgraded) -> None:
    assert "would be done: ZTF_alerts_aux: step 1, " in upgraded.planned
    assert upgraded.said == upgraded.planned.replace("would be done", "done")
    assert "nothing to do" in run(upgraded.settings, "migrate")
    database = mongo.database(upgraded.settings)
    formats.check(database, ["ZTF"])
    said = {document["_id"]: document for document in database[names.FORMATS].find()}
    assert [step["step"] for step in said["ZTF_alerts_aux"]["steps"]] == [1]
    assert said.keys() == {each.name for each in formats.expected(["ZTF"])}


def test_nothing_is_lost_and_nothing_twice(upgraded: Upgraded) -> None:
    settings = upgraded.settings
    assert len(archive(settings, "alerts")) == 32
    assert len(archive(settings, "alerts_cutouts")) == 32
    objects = archive(settings, "alerts_aux")
    assert len(objects) == 17
    assert sum(each["revision"] for each in objects.values()) == 32
    assert len({bson_records.fields(value)["candid"] for value in records(settings, "classified")}) == 32
    assert len({decode_filtered(value)["candid"] for value in records(settings, "filtered")}) == 15
    assert len(archive(settings, "filter_matches")) == 18
    assert len(dead_letters.letters(settings)) == 2


def test_workers_have_gone_on_with_the_disks_that_they_had(upgraded: Upgraded) -> None:
    workers = upgraded.settings.data_dir / "workers"
    tables = ["tiles", *(f"{table}-{partition}.db" for table in ("cells", "objects") for partition in range(2))]
    assert {name: len(list(workers.rglob(name))) for name in tables} == dict.fromkeys(tables, 1)


@pytest.mark.parametrize("kind", ["alerts", "alerts_cutouts", "alerts_aux", "filter_matches"])
def test_the_archive_is_that_of_a_broker_that_has_only_known_this_release(
    upgraded: Upgraded, fresh: Settings, kind: str
) -> None:
    before, after = archive(fresh, kind), archive(upgraded.settings, kind)
    assert before.keys() == after.keys()
    for key, document in before.items():
        assert comparable(after[key]) == comparable(document), key


def comparable(document: Any) -> Any:
    """A document without when and in which order its alerts were processed."""
    if isinstance(document, dict):
        return {name: comparable(value) for name, value in document.items() if name not in PROCESSING}
    return [comparable(value) for value in document] if isinstance(document, list) else document


def test_a_worker_that_meets_a_newer_record_ends_with_a_sentence_and_skips_nothing(make: MakeSettings) -> None:
    settings = make(partitions=1)
    initialise(settings)
    topic = names.topic("ZTF", "classified", settings.topic_prefix)
    stated = bson_records.stated(get_survey("ZTF"))
    writer = Writer(settings)
    writer.send(topic, bson.encode({"survey": "ZTF", **stated, "v": 99}), b"newer", 0)
    writer.finish()
    with Supervisor(settings, {"sink": 1}) as supervisor:
        exits: list[Exit] = []
        wait_for(lambda: exits.extend(supervisor.poll()) or len(exits) > 1, seconds=90.0)  # it was started again
        output = supervisor.log_file("sink", 0).read_text()
        journal = json.loads((supervisor.data_folder("sink", 0) / "journal.json").read_text())
    assert {exited.code for exited in exits} == {1}
    (sentence, *_) = [line for line in output.splitlines() if "sink_classified ends at" in line]
    assert topic in sentence
    assert "were written by a newer release" in sentence
    assert "upgrade boom-streams" in sentence
    assert "Traceback" not in output
    assert journal["deaths"] == {}, "the record is blamed for the end of the worker"
    assert [topic in note["why"] for note in waiting(settings)] == [True]
    assert dead_letters.letters(settings) == []
    assert lag(settings)["sink", topic] == 1
