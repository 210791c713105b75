"""`faust -A boom_streams worker`: one process does everything, starts alone, and ends when it is asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from boom_streams import names
from boom_streams import services as local
from boom_streams.archive import mongo
from boom_streams.astro import times
from boom_streams.demo import run
from boom_streams.ingest.replay import replay
from boom_streams.kafka.clients import partition_counts
from boom_streams.kafka.reading import scan
from boom_streams.kafka.topics import ensure_topics, required_topics
from boom_streams.operate.supervise import environment
from boom_streams.settings import Settings
from tests.acceptance.conftest import Archive, Nights, archive, packets
from tests.support.waiting import wait_for

WORKER = (sys.executable, "-m", "faust", "-A", "boom_streams", "worker", "-l", "warn", "--without-web")

#: Seconds that a worker may take to end.
GRACE = 20.0

SERIES = ("prv_candidates", "prv_nondetections", "fp_hists")

Worker = subprocess.Popen[bytes]


@contextmanager
def worker(settings: Settings, root: Path) -> Iterator[Worker]:
    """A worker with the role ``all``, in a session of its own; killed if it is left."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            WORKER, cwd=root, env=os.environ | environment(settings), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def output(settings: Settings) -> str:
    return (settings.data_dir / "worker.log").read_text(errors="replace")


def end(process: Worker, number: signal.Signals) -> None:
    """Ask a worker to end; it does so in time, and nothing of its session is left."""
    process.send_signal(number)
    process.wait(GRACE)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def await_topics(settings: Settings) -> None:
    """Wait until a worker has made what it needs: topics, then collections and their indexes."""
    wait_for(lambda: set(required_topics(settings)) <= set(partition_counts(settings)), seconds=120.0)
    wait_for(lambda: "filters" in mongo.database(settings).list_collection_names(), seconds=120.0)


def committed_all(settings: Settings) -> None:
    run.drain(settings, running="all")


def test_a_worker_alone_brings_a_night_to_the_archive_and_ends(
    make_settings: Callable[..., Settings], root: Path, some_night: Callable[[str], Path]
) -> None:
    settings = make_settings(partitions=4)
    night = some_night("20200202")
    with worker(settings, root) as process:
        await_topics(settings)
        assert replay(settings, "ZTF", [night]).alerts == 12
        committed_all(settings)
        end(process, signal.SIGTERM)
    found = archive(settings)
    assert {alert["_id"] for alert in found["alerts"].values()} == {packet["candid"] for packet in packets(night)}
    assert all("properties" in alert for alert in found["alerts"].values())
    with worker(settings, root) as process:  # and again, on what the first has left
        assert replay(settings, "ZTF", [night]).alerts == 12
        committed_all(settings)
        end(process, signal.SIGINT)
    assert archive(settings) == found


def test_without_mongodb_it_ends_in_time_and_nothing_is_lost(
    make_settings: Callable[..., Settings], root: Path, some_night: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "mongod"
    try:
        uri = local.start(folder, only="mongod").mongo_uri
        settings = make_settings(partitions=4, mongo_uri=uri)
        with worker(settings, root) as process:
            await_topics(settings)
            replay(settings, "ZTF", [some_night("20200202")])
            committed_all(settings)
            local.stop(folder, only="mongod")
            replay(settings, "ZTF", [some_night("20211121_snappy")])
            wait_for(lambda: "waits" in output(settings), seconds=120.0)
            end(process, signal.SIGINT)
        local.start(folder, only="mongod")
        with worker(settings, root) as process:
            committed_all(settings)
            end(process, signal.SIGTERM)
        found = archive(settings)
        assert [len(found[kind]) for kind in ("alerts", "alerts_cutouts")] == [122, 122]
        assert all("properties" in a and "candidate" in a for a in found["alerts"].values())
        assert found["alerts_aux"].keys() == {repr(alert["objectId"]) for alert in found["alerts"].values()}
    finally:
        local.stop(folder)


def test_a_wrong_number_of_partitions_is_named_with_the_command(
    make_settings: Callable[..., Settings], root: Path
) -> None:
    made = make_settings(partitions=3)
    ensure_topics(made)
    settings = made.model_copy(update={"partitions": 4})
    with worker(settings, root) as process:
        assert process.wait(60) != 0
    topic = names.topic("ZTF", "raw", settings.topic_prefix)
    assert f"--delete --topic '{topic}', then `boom-streams init`" in output(settings)


def test_a_night_from_a_plain_producer_ends_with_the_same_documents(
    make_settings: Callable[..., Settings], root: Path, nights: Nights
) -> None:
    """Without keys; times of documents are those at which Kafka appended the records, whatever the producer says."""
    settings = make_settings()
    an_hour_ago = int(time.time() - 3600) * 1000
    files = sorted(nights.night.rglob("*.avro"))
    with worker(settings, root) as process:
        await_topics(settings)
        producer = Producer({"bootstrap.servers": settings.kafka})
        for path in files:
            producer.produce(names.topic("ZTF", "raw", settings.topic_prefix), path.read_bytes(), timestamp=an_hour_ago)
        assert producer.flush(60) == 0
        committed_all(settings)
        end(process, signal.SIGTERM)
    found = archive(settings)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    records = list(scan(settings, [raw]))
    assert len({message.partition() for message in records if message.key() is None}) > 1
    appended = {times.julian_date(message.timestamp()[1]) for message in records}
    written = ("created_at", "updated_at")
    for kind in ("alerts", "alerts_aux"):
        assert {document[name] for document in found[kind].values() for name in written} <= appended
    several = _objects_with_several_alerts(nights.once)
    assert found["alerts_cutouts"] == nights.once["alerts_cutouts"]
    assert 0 < len(several) < len(found["alerts_aux"])
    for kind in ("alerts", "alerts_aux"):
        assert found[kind].keys() == nights.once[kind].keys()
        for key, document in found[kind].items():
            assert _comparable(document, several) == _comparable(nights.once[kind][key], several), key


def _objects_with_several_alerts(archive: Archive) -> set[str]:
    counts = Counter(alert["objectId"] for alert in archive["alerts"].values())
    return {object_id for object_id, count in counts.items() if count > 1}


def _comparable(document: dict[str, Any], several: set[str]) -> dict[str, Any]:
    """A document without its times; of an object with several alerts also without what their order decides.

    Records without a key lie in any partition, so that the order in which an object's alerts were sent is lost: an
    alert's statistics are over what was known when it came, and alerts are numbered as they come.
    """
    left_out = {"created_at", "updated_at"}
    if document.get("objectId") in several:
        left_out.add("properties")
    kept = {name: value for name, value in document.items() if name not in left_out}
    if document["_id"] in several:
        for name in SERIES:
            kept[name] = [{k: v for k, v in point.items() if k != "revision"} for point in kept[name]]
    return kept
