"""Every failure has an owner: a service that a probe finds wrong is waited for, and anything else is a record's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from pymongo.errors import AutoReconnect, BulkWriteError, ExecutionTimeout, NetworkTimeout, OperationFailure

from boom_streams.agents.delivery.probe import Services
from boom_streams.archive import mongo
from boom_streams.errors import BadRecord, ServiceError
from boom_streams.kafka import clients
from boom_streams.kafka.reading import headers_of
from boom_streams.operate import worker_notes
from boom_streams.operate.status import collect
from boom_streams.settings import Settings
from tests.delivery.conftest import uri
from tests.delivery.harness import STAGE, Bench
from tests.support.forwarder import Forwarder
from tests.support.waiting import wait_for

#: Errors that may be a service's.
DOUBTFUL = [
    AutoReconnect("closed"),
    NetworkTimeout("timed out"),
    ExecutionTimeout("slow", 50),
    OperationFailure("not authorised", 13),
    BulkWriteError({"writeErrors": [], "writeConcernErrors": []}),
    ServiceError("Kafka does not answer"),
]


def probe(settings: Settings) -> Services:
    return Services(settings, ["ZTF_alerts"])


@pytest.mark.parametrize("error", DOUBTFUL, ids=lambda error: type(error).__name__)
def test_what_an_error_says_decides_nothing(settings: Settings, error: Exception) -> None:
    assert probe(settings).concerns(error)
    assert probe(settings).problem(error) is None


@pytest.mark.parametrize("error", [BadRecord("no alert"), ValueError("no"), TimeoutError("slow")])
def test_what_cannot_be_a_services_needs_no_probe(settings: Settings, error: Exception) -> None:
    assert not probe(settings).concerns(error)


def test_a_service_that_is_away_is_found(make_settings: Callable[..., Settings], mongodb: Forwarder) -> None:
    there = make_settings(mongo_uri=uri(mongodb))
    assert mongo.problem(there) is None
    mongodb.shut()
    assert "MongoDB" in str(probe(there).problem(AutoReconnect("closed")))
    assert "MongoDB" in str(probe(there).problem(ServiceError("what?")))
    nowhere = make_settings(kafka="127.0.0.1:1")
    assert "Kafka does not answer" in str(probe(nowhere).problem(ServiceError("what?")))
    assert "Kafka does not answer" in str(probe(nowhere).problem(KafkaException(KafkaError(KafkaError._TIMED_OUT))))
    assert probe(nowhere).problem(AutoReconnect("closed")) is None
    clients.admin.cache_clear()


def test_a_record_that_a_well_mongodb_refuses_is_a_dead_letter(bench: Bench) -> None:
    """In a batch with others, which pass: one breaks a limit of MongoDB, of one the connection is closed."""
    bad: dict[int, dict[str, Any]] = {3: {"do": "refused"}, 7: {"do": "refused", "as": "away"}}
    bench.produce([{"id": i, "key": "k", **bad.get(i, {})} for i in range(10)])
    bench.run_until_committed()
    assert bench.ids() == [i for i in range(10) if i not in bad]
    letters = {json.loads(m.value())["id"]: headers_of(m)["dead.reason"].decode() for m in bench.dead_letters()}
    assert letters.keys() == bad.keys()
    assert "depth" in letters[3] or "nest" in letters[3]
    assert letters[7] == "AutoReconnect: connection closed"


def test_a_stage_that_waits_says_for_what(
    make_bench: Callable[..., Bench], mongodb: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    bench = make_bench(mongo_uri=uri(mongodb))
    monkeypatch.setenv("APP_DATADIR", str(bench.folder / "a"))
    mongodb.shut()
    bench.produce([{"id": i, "key": "k", "do": "ask"} for i in range(3)])
    worker = bench.start()
    found = wait_for(lambda: worker_notes.waiting(bench.settings), f"the stage waits; {bench.log()}")
    assert [(each["worker"], each["stage"]) for each in found] == [("a", STAGE)]
    assert "MongoDB" in found[0]["why"]
    assert began < found[0]["since"] <= time.time()
    assert collect(bench.settings, 0.1)["waiting"] == found
    mongodb.open()
    bench.wait_committed(worker)
    assert worker_notes.waiting(bench.settings) == []
    assert bench.ids() == [0, 1, 2]
    assert bench.dead_letters() == []
    assert f"{STAGE} waits: MongoDB" in bench.log().read_text()


def test_notes_of_a_worker_that_is_gone_are_no_news(settings: Settings) -> None:
    notes = worker_notes.Notes(settings.data_dir / "workers" / "enrich-0")
    notes.waits("enrich", "MongoDB is away")
    (found,) = worker_notes.waiting(settings)
    notes.waits("enrich", "MongoDB still is")
    (later,) = worker_notes.waiting(settings)
    assert (later["since"], later["why"]) == (found["since"], "MongoDB still is")
    path = settings.data_dir / "workers" / "enrich-0" / worker_notes.FILE
    state = json.loads(path.read_text())
    state["waiting"]["enrich"]["at"] -= 2 * worker_notes.STALE
    path.write_text(json.dumps(state))
    assert worker_notes.waiting(settings) == []
    path.write_text("{half")
    assert worker_notes.waiting(settings) == worker_notes.lost(settings) == []
