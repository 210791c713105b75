"""The filter stage: who pays for what fails, and how a suspended filter gets what it missed."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import pytest

from boom_streams import names
from boom_streams.access.topic_owners import release_topic
from boom_streams.agents import catch_up as catching_up
from boom_streams.agents.catch_up import catch_up
from boom_streams.agents.delivery.batch import Work
from boom_streams.agents.filter import Stage
from boom_streams.archive import Archive, mongo
from boom_streams.errors import FilterError, FormatError, ServiceError
from boom_streams.filters import FilterStore, missed
from boom_streams.filters.running import evaluate
from boom_streams.kafka import topics
from boom_streams.kafka.limits import MAX_BYTES
from boom_streams.kafka.reading import scan
from boom_streams.kafka.writer import Writer
from boom_streams.operate.supervise import environment
from boom_streams.schema.filtered import decode_matches
from boom_streams.settings import Settings
from boom_streams.testing import Stored, classify, stages
from tests.support import commands
from tests.support.waiting import wait_for
from tests.support.ztf_packets import candidate, container

EVERYTHING: dict[str, Any] = {"$match": {"candidate.magpsf": {"$lt": 30}}}
COUNT = 6


def pipeline(annotations: Any) -> list[dict[str, Any]]:
    return [EVERYTHING, {"$project": {"objectId": 1, "annotations": annotations}}]


@dataclass
class Bench:
    """Classified alerts in Kafka and in the archive, and filters."""

    settings: Settings
    store: FilterStore
    records: list[Any]

    def add(self, name: str, annotations: Any) -> None:
        """Add a filter and switch it on."""
        self.store.activate(self.store.add(name, "ZTF", pipeline(annotations), {"ZTF": [1]}).filter_id)

    def published(self, name: str) -> Counter[int]:
        """How often each alert is in a filter's topic."""
        values = [m.value() or b"" for m in scan(self.settings, [names.filter_topic(name, self.settings.topic_prefix)])]
        return Counter(decode_matches(value)["candid"] for value in values)


@pytest.fixture
def bench(make_settings: Any) -> Bench:
    settings = make_settings(partitions=2, filter_refresh=0.1)
    topics.ensure_topics(settings)
    packets = [
        container(objectId=f"ZTF00{n:07d}", candid=100 + n, candidate=candidate(candid=100 + n)) for n in range(COUNT)
    ]
    stored = [hostile(one) if place == 2 else one for place, one in enumerate(classify(packets))]
    Archive(mongo.database(settings), ["ZTF"]).write_enriched([one.enriched for one in stored])
    topic, writer = names.topic("ZTF", "classified", settings.topic_prefix), Writer(settings)
    for place, one in enumerate(stored):
        writer.send(topic, one.classified, str(one.record["objectId"]).encode(), place % 2)
    writer.finish()
    records = [stages.record(_Sent(topic, place % 2, one.classified), place) for place, one in enumerate(stored)]
    return Bench(settings, FilterStore(mongo.database(settings)), records)


def hostile(one: Stored) -> Stored:
    """The alert with a text where a number is expected."""
    record = bson.decode(one.classified)
    record["alert"]["candidate"]["sumrat"] = "a text"
    return Stored(one.enriched, bson.encode(record))


@dataclass
class _Sent:
    topic: str
    partition: int
    value: bytes
    key: bytes = b"key"
    headers: tuple[Any, ...] = ()


def sent(results: list[Any], settings: Settings) -> Counter[str]:
    """Records by the short name of their topic."""
    return Counter(send.topic.removeprefix(settings.topic_prefix) for result in results for send in result.sends)


def test_a_filter_that_fails_at_an_alert_gets_the_others_and_later_what_it_missed(bench: Bench) -> None:
    bench.add("calc", {"x": {"$add": ["$candidate.sumrat", 1]}})
    bench.add("good", {"m": "$candidate.magpsf"})
    stage = Stage(bench.settings)
    results = stage.process(Work(bench.records[:4]))
    assert sent(results, bench.settings) == {"filtered.calc": 3, "filtered.good": 4, "ztf.filtered": 4}
    suspended = bench.store.get("calc")["suspended"]
    assert suspended["candid"] == 102
    assert suspended["offsets"] == [0, 0]
    later = stage.process(Work(bench.records[4:]))
    assert sent(later, bench.settings) == {"filtered.good": 2, "ztf.filtered": 2}
    bench.store.add("calc", "ZTF", pipeline({"x": {"$cond": [{"$isNumber": "$candidate.sumrat"}, 1, 0]}}))
    said = commands.run(bench.settings, "filters", "activate", "calc", "--catch-up")
    assert f"caught up: {COUNT} of {COUNT} alerts since its suspension passed" in said
    assert "suspended" not in bench.store.get("calc")
    assert bench.published("calc") == dict.fromkeys(range(100, 100 + COUNT), 1)


def test_one_that_fails_again_is_suspended_again(bench: Bench) -> None:
    bench.add("calc", {"x": {"$add": ["$candidate.sumrat", 1]}})
    done = catch_up(bench.settings, bench.store.version("calc"), [1, 1])
    assert (done.read, done.passed) == (COUNT - 2, COUNT - 3)
    assert "$add only supports numeric" in done.failed
    suspended = bench.store.get("calc")["suspended"]
    assert (suspended["candid"], suspended["offsets"]) == (102, [1, 1])


def failed(bench: Bench) -> None:
    """Suspend ``calc`` at the alert 102, and add a version that does not fail."""
    bench.add("calc", {"x": {"$add": ["$candidate.sumrat", 1]}})
    Stage(bench.settings).process(Work(bench.records[:4]))
    bench.store.add("calc", "ZTF", pipeline({"m": 1}))


def appended(bench: Bench, record: dict[str, Any], partition: int = 0) -> None:
    """Add a record to the classified topic that is like the first one but for some fields."""
    writer = Writer(bench.settings)
    value = bson.encode({**bson.decode(bench.records[0].value), **record})
    writer.send(names.topic("ZTF", "classified", bench.settings.topic_prefix), value, b"key", partition)
    writer.finish()


def test_catching_up_that_was_killed_goes_on(bench: Bench, root: Path) -> None:
    failed(bench)
    slow = environment(bench.settings) | {"BOOM_FILTER_REFRESH": "600"}  # it waits for workers, as long as this says
    command = [sys.executable, "-m", "boom_streams.cli", "filters", "activate", "calc", "--catch-up"]
    with subprocess.Popen(command, env=slow, cwd=root, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: bench.store.get("calc")["active"] or process.poll() is not None, "it is active")
        assert process.poll() is None
        process.kill()
    assert bench.published("calc") == {}
    for verb in ("activate", "show"):
        assert "calc --catch-up` publishes them" in commands.run(bench.settings, "filters", verb, "calc")
    said = commands.run(bench.settings, "filters", "activate", "calc", "--catch-up")
    assert f"caught up: {COUNT} of {COUNT} alerts" in said
    assert bench.published("calc") == dict.fromkeys(range(100, 100 + COUNT), 1)
    assert "nothing to catch up with" in commands.run(bench.settings, "filters", "activate", "calc", "--catch-up")


def test_records_that_are_dead_letters_do_not_end_catching_up(bench: Bench) -> None:
    failed(bench)
    appended(bench, {"alert": None})
    appended(bench, {"v": "none"})
    said = commands.run(bench.settings, "filters", "activate", "calc", "--catch-up")
    assert f"caught up: {COUNT} of {COUNT + 2} alerts" in said
    assert "2 of them are left out" in said
    assert bench.published("calc") == dict.fromkeys(range(100, 100 + COUNT), 1)


def test_catching_up_remembers_what_it_has_published(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(bench)
    appended(bench, {"v": 99})
    monkeypatch.setattr(catching_up, "_BATCH", 1)
    chosen = bench.store.activate("calc", keep_missed=True)
    with pytest.raises(FormatError):
        catch_up(bench.settings, chosen, [0, 0])
    reached = missed(bench.store.get("calc")) or []
    assert sum(reached) == bench.published("calc").total()
    assert reached[0] == COUNT // 2
    bench.store.suspend(chosen, "it failed at a worker", offsets=[5, 0])
    assert missed(bench.store.get("calc")) == [3, 0]


def test_many_filters_with_long_annotations_are_published_in_parts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"$literal": "y" * 60_000}
    stage = Stage(bench.settings)
    long = [
        evaluate.Filter(f"long{n}", f"long{n}", "ZTF", {"ZTF": (1,)}, "v", tuple(pipeline({"x": words})))
        for n in range(210)
    ]
    (result,) = stage.run(Work(bench.records[:1]), {"ZTF": long})
    assert sent([result], bench.settings)["ztf.filtered"] > 1
    assert sum(sent([result], bench.settings).values()) - sent([result], bench.settings)["ztf.filtered"] == 210
    assert max(send.size for send in result.sends) < MAX_BYTES / 4
    monkeypatch.setattr(evaluate, "MAX_HELD", 20 << 20)
    with pytest.raises(evaluate.TooMuch):
        stage.run(Work(bench.records[3:]), {"ZTF": long})


def test_a_filter_whose_topic_kafka_refuses_is_suspended_alone(bench: Bench) -> None:
    bench.add("my_sn", {"m": 1})
    bench.add("good", {"m": 2})
    database = mongo.database(bench.settings)
    other = database["filters"].find_one({"name": "my_sn"}) or {}
    database["filters"].insert_one(other | {"_id": "other", "name": "my.sn"})  # by another program
    results = Stage(bench.settings).process(Work(bench.records))
    names_of = set(sent(results, bench.settings))
    assert "filtered.good" in names_of
    assert len(names_of & {"filtered.my_sn", "filtered.my.sn"}) == 1
    suspended = [each["name"] for each in bench.store.list_all() if "suspended" in each]
    assert len(suspended) == 1
    assert suspended[0] in ("my_sn", "my.sn")
    assert missed(bench.store.get(suspended[0])) == [0, 0]


def test_a_filter_whose_topic_cannot_be_made_now_waits_and_the_others_go_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.add("new", {"m": 1})
    bench.add("old", {"m": 2})
    topics.ensure_filter_topic(bench.settings, "old")
    absent = bench.settings.model_copy(update={"replication": 2})  # as many brokers as there are not
    stage = Stage(absent)
    with caplog.at_level(logging.WARNING):
        for records in (bench.records[:2], bench.records[2:4]):
            stage._loaded = float("-inf")
            assert sent(stage.process(Work(records)), absent) == {"filtered.old": 2, "ztf.filtered": 2}
    assert bench.store.problems() == []
    assert [line for line in caplog.messages if line.startswith("filter new waits")] != []
    assert len([line for line in caplog.messages if "filter new" in line]) == 1
    topics.ensure_filter_topic(bench.settings, "new")  # by a worker that sees all brokers
    stage._topic_retry = stage._loaded = float("-inf")
    later = sent(stage.process(Work(bench.records[4:])), absent)
    assert later == {"filtered.old": 2, "filtered.new": 2, "ztf.filtered": 2}
    commands.run(bench.settings, "filters", "activate", "new", "--catch-up")
    assert bench.published("new") == dict.fromkeys(range(100, 100 + COUNT), 1)


def test_a_moment_without_a_controller_suspends_no_filter(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        bench.add(name, {"m": 1})
        topics.ensure_filter_topic(bench.settings, name)

    def fails(*_: Any) -> None:
        raise ServiceError("Kafka refused AlterConfigs: Broker: Not controller")

    monkeypatch.setattr(topics, "_correct", fails)
    results = Stage(bench.settings).process(Work(bench.records))
    assert sent(results, bench.settings) == {"filtered.one": COUNT, "filtered.other": COUNT, "ztf.filtered": COUNT}
    assert bench.store.problems() == []


def test_a_name_that_was_used_does_not_inherit_the_older_results(bench: Bench) -> None:
    private = bench.store.add("mine", "ZTF", pipeline({"m": 1}), {"ZTF": [1, 2, 3]})
    bench.store.activate("mine")
    Stage(bench.settings).process(Work(bench.records))
    database = mongo.database(bench.settings)
    database["filters"].update_one({"_id": private.filter_id}, {"$set": {"permissions": {"ZTF": [1]}}})
    assert not any(result.sends for result in Stage(bench.settings).process(Work(bench.records)))
    assert "from when the filter was permitted more" in bench.store.get("mine")["suspended"]["reason"]
    bench.store.remove("mine")
    with pytest.raises(FilterError, match="another filter of this name, which is gone"):
        bench.store.add("mine", "ZTF", pipeline({"m": 1}), {"ZTF": [1]})
    release_topic(database, "mine")
    bench.add("mine", {"m": 1})
    assert sent(Stage(bench.settings).process(Work(bench.records)), bench.settings)["filtered.mine"] == COUNT
    database["filters"].update_one({"name": "mine"}, {"$set": {"permissions": {"ZTF": [1, 2]}}})
    assert sent(Stage(bench.settings).process(Work(bench.records)), bench.settings)["filtered.mine"] == COUNT
