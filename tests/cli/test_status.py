"""What the broker says about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import TopicPartition

from boom_streams import names
from boom_streams.archive import ensure, mongo
from boom_streams.cli import cli
from boom_streams.filters import FilterStore
from boom_streams.kafka import clients, topics
from boom_streams.kafka.writer import Writer
from boom_streams.operate.status import collect, lag, total_lag
from boom_streams.operate.supervise import environment
from boom_streams.schema.dead_letters import letter_headers
from boom_streams.settings import Settings
from tests.support import commands
from tests.support.waiting import wait_for


@pytest.fixture
def settings(make_settings) -> Settings:
    made = make_settings(partitions=2)
    topics.ensure_topics(made)
    return made


def write(settings: Settings, topic: str, count: int, **headers: bytes) -> None:
    writer = Writer(settings)
    for number in range(count):
        writer.send(settings.topic_prefix + topic, b"x", b"%d" % number, number % 2, headers.items())
    writer.finish()


def commit(settings: Settings, role: str, stage: str, *offsets: int) -> None:
    topic = names.topic("ZTF", stage, settings.topic_prefix)
    client = clients.consumer(settings, names.group_id(role, settings.topic_prefix))
    client.commit(offsets=[TopicPartition(topic, p, offset) for p, offset in enumerate(offsets)], asynchronous=False)
    client.close()


def test_lag_is_what_each_role_has_still_to_handle(settings: Settings) -> None:
    write(settings, "ztf.raw", 10)
    write(settings, "ztf.enriched", 6)
    commit(settings, "enrich", "raw", 5, 3)
    commit(settings, "sink", "enriched", 3, 3)
    found = {(role, topic.rpartition(".")[2]): n for (role, topic), n in lag(settings).items()}
    assert found == {
        ("enrich", "raw"): 2,
        ("classify", "enriched"): 6,
        ("filter", "classified"): 0,
        ("sink", "enriched"): 0,
        ("sink", "classified"): 0,
        ("sink", "filtered"): 0,
    }
    assert total_lag(settings) == 8


def test_records_removed_by_retention_are_no_lag(settings: Settings) -> None:
    write(settings, "ztf.raw", 10)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    for future in clients.admin(settings).delete_records([TopicPartition(raw, 0, 4)]).values():
        future.result()
    assert lag(settings)["enrich", raw] == 6


def test_the_report_has_everything(settings: Settings) -> None:
    write(settings, "ztf.raw", 10)
    write(settings, "boom.objects.changelog", 4)
    record = (f"{settings.topic_prefix}ztf.raw", 0, 3)
    headers = dict(letter_headers("enrich", "no", record, 0))
    write(settings, "ztf.dead", 2, **headers)  # twice the same
    commit(settings, "enrich", "raw", 5, 3)
    report = collect(settings, interval=0.1)
    assert report["layout"] == "roles"
    stages = {(s["role"], s["topic"].rpartition(".")[2]): s for s in report["stages"]}
    assert stages["enrich", "raw"]["lag"] == 2
    assert report["topics"][f"{settings.topic_prefix}ztf.raw"]["records"] == 10
    assert report["tables"] == {"cells": 0, "objects": 4}
    assert report["dead"] == {"ZTF": 1}
    json.dumps(report)


def test_what_is_missing_is_said(make_settings) -> None:
    report = collect(make_settings(partitions=2), interval=0.1)
    missing = "\n".join(report["missing"])
    for expected in ("ztf.raw does not exist", "runs as `enrich`", "ZTF_alerts"):
        assert expected in missing


def test_what_alerts_go_on_without_is_said_and_is_no_fault(make_settings: Any, tmp_path: Path) -> None:
    settings = make_settings(models_dir=tmp_path, models=("acai_h", "btsbot"))
    report = collect(settings, interval=0.1)
    assert [line.partition(";")[0] for line in report["without"]] == [
        "catalogues that are not imported: DESI_DR1, Gaia_DR3, LS_DR10_PHOTOZ, NED, PS1_DR1, milliquas_v6",
        "an active filter: nobody is told of them",
        f"models that are not in {tmp_path}: acai_h, btsbot",
    ]
    assert not any("catalogue" in line or "model" in line for line in report["missing"])


def test_an_active_filter_and_the_archive_are_seen(settings: Settings) -> None:
    database = mongo.database(settings)
    database["filters"].insert_one({"active": True})
    database["ZTF_alerts"].insert_many([{"_id": 1}, {"_id": 2}])
    report = collect(settings, interval=0.1)
    assert report["archive"] == {"ZTF_alerts": 2}
    assert not any("active filter" in line for line in report["without"])
    assert not any("ZTF_alerts " in line for line in report["missing"])


def test_the_command_reports_absent_services_and_fails(settings: Settings) -> None:
    run = CliRunner(env=environment(settings) | {"BOOM_KAFKA": "127.0.0.1:1"})
    from boom_streams.settings import current_settings as read_once

    read_once.cache_clear()
    result = run.invoke(cli, ["status", "--json"])
    read_once.cache_clear()
    assert result.exit_code == 1
    assert any("Kafka does not answer" in line for line in json.loads(result.output)["missing"])


def test_the_command_prints_tables(settings: Settings) -> None:
    from boom_streams.settings import current_settings as read_once

    read_once.cache_clear()
    result = CliRunner(env=environment(settings)).invoke(cli, ["status", "--interval", "0.1"])
    read_once.cache_clear()
    assert "classify" in result.output
    assert "alerts go on without an active filter" in result.output


def test_the_command_says_which_filters_do_not_run(settings: Settings) -> None:
    store = FilterStore(mongo.database(settings))
    store.add("bright", "ZTF", [{"$match": {"candidate.magpsf": 1}}, {"$project": {"objectId": 1}}], {"ZTF": [1]})
    store.suspend(store.activate("bright"), "can't $divide by zero", candid=123)
    told = commands.run(settings, "status", "--interval", "0.1", code=1)
    assert "\nfilter bright is suspended since" in told
    assert "without filter" not in told


def test_a_worker_that_does_everything_and_has_had_no_alert_is_a_worker(settings: Settings) -> None:
    ensure(mongo.database(settings), settings.surveys)
    worker = clients.consumer(settings, names.group_id("all", settings.topic_prefix))
    worker.subscribe([names.topic("ZTF", "raw", settings.topic_prefix)])
    try:
        wait_for(lambda: worker.poll(0.1) or worker.assignment(), seconds=30)
        report = collect(settings, interval=0.1)
        assert {(stage["role"], stage["workers"]) for stage in report["stages"]} == {("all", 1)}
        assert report["missing"] == []
    finally:
        worker.close()


def test_suspended_filters_are_named_with_the_alert_at_which_they_failed(settings: Settings) -> None:
    store = FilterStore(mongo.database(settings))
    store.add("bright", "ZTF", [{"$match": {"candidate.magpsf": 1}}, {"$project": {"objectId": 1}}], {"ZTF": [1]})
    store.suspend(store.activate("bright"), "can't $divide by zero", candid=123)
    (told,) = [line for line in collect(settings, interval=0.1)["filters"]]
    assert told.startswith("filter bright is suspended since")
    assert told.endswith("at alert 123: can't $divide by zero")
