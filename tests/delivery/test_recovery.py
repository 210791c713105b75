"""After a recovery no record is dropped, and of a key's values the one of the newest record stays."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewTopic

from boom_streams.kafka import clients, topics
from boom_streams.kafka.reading import scan
from boom_streams.kafka.writer import Writer
from boom_streams.operate import worker_notes
from boom_streams.tables.store import source_key
from tests.delivery.harness import Bench
from tests.support.waiting import wait_for


def log_values(bench: Bench, values: list[tuple[int, bytes, bytes]]) -> None:
    """Write to the changelog, as other workers did: source offsets, keys and values."""
    writer = Writer(bench.settings)
    for offset, key, value in values:
        writer.send(bench.changelog, struct.pack(">q", offset) + value, key, 0)
    writer.finish()


def journal(bench: Bench) -> dict[str, object]:
    """What a worker that has ended says of its records."""
    content: dict[str, object] = json.loads((bench.folder / "a" / "journal.json").read_text())
    return content


def test_what_was_fetched_during_the_seek_is_handled(make_bench: Callable[..., Bench]) -> None:
    assert fetched_during_the_seek(make_bench) == []


def test_faust_as_it_is_drops_what_was_fetched_during_the_seek(make_bench: Callable[..., Bench]) -> None:
    """The test above would see it; where it is fetched after the seek there is nothing to see."""
    assert any(fetched_during_the_seek(make_bench, WITHOUT_PATCH="1") for _ in range(4))


def fetched_during_the_seek(make_bench: Callable[..., Bench], **variables: str) -> list[int]:
    """Records that were not handled, of those that were fetched while a worker sought its committed offsets."""
    bench = make_bench(role="classify", batch_size=20)
    log_values(bench, [(0, b"k", b"[]")])  # there is something to recover
    bench.produce({"id": i, "key": f"k{i % 9}"} for i in range(1500))
    worker = bench.start(SLOW_SEEK="2.0", PAUSE_PER_BATCH="0.04", **variables)
    seen = wait_for(lambda: 1499 in (ids := bench.ids()) and ids, f"the last record; {bench.log()}")
    missing = sorted(set(range(1500)) - set(seen))
    if not missing:
        bench.wait_committed(worker)
    bench.end(worker)
    return missing


def test_the_value_of_the_newest_record_stays(bench: Bench) -> None:
    """A replaced worker's late write is the last in the changelog, and does not win."""
    log_values(bench, [(100, b"late", b"[100]"), (90, b"late", b"[90]"), (7, b"other", b"[7]")])
    bench.produce([{"id": 0, "key": "new"}])
    bench.run_until_committed()
    assert bench.stored() == {"late": [100], "new": [0], "other": [7]}


def test_a_worker_ends_without_the_changelog_of_its_source(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(partitions=2)
    admin = clients.admin(bench.settings)
    for future in admin.delete_topics([bench.changelog]).values():
        future.result(10)
    wait_for(lambda: bench.changelog not in clients.partition_counts(bench.settings), "the changelog is gone")
    for future in admin.create_topics([NewTopic(bench.changelog, 1, 1)]).values():
        future.result(10)
    worker = bench.start()
    assert worker.wait(60) == 70, bench.log().read_text()[-3000:]
    assert "without their changelog" in bench.log().read_text()


def test_commits_that_are_stuck_end_the_worker(bench: Bench) -> None:
    """And a record that is in hand then is not to blame."""
    bench.produce({"id": i, "key": "k"} for i in range(20))
    worker = bench.start(SKIP_ACK="20 21")
    bench.wait_committed(worker)
    bench.produce({"id": i, "key": "k"} for i in range(20, 60))
    wait_for(lambda: 59 in bench.ids(), f"the last record; {bench.log()}")
    bench.produce([{"id": 60, "key": "k", "do": "wait"}])
    bench.wait_gate("process")
    assert worker.wait(60) == 70
    assert "are stuck at 20" in bench.log().read_text()
    assert journal(bench) == {"in_hand": [], "deaths": {}, "deadly": []}
    bench.open_gate("process")
    bench.run_until_committed()
    assert sorted(set(bench.ids())) == list(range(61))


def test_records_that_were_deleted_before_they_were_read_are_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.produce({"id": i, "key": "k"} for i in range(10))
    bench.run_until_committed()
    bench.produce({"id": i, "key": "k"} for i in range(10, 40))
    for done in clients.admin(bench.settings).delete_records([TopicPartition(bench.raw, 0, 34)]).values():
        done.result(10)
    bench.run_until_committed()
    assert bench.ids() == [*range(10), *range(34, 40)]
    said = f"Kafka deleted 24 records of {bench.raw}, partition 0, before they were read: offsets 10 to 33"
    assert said in bench.log().read_text()
    monkeypatch.setenv("APP_DATADIR", str(bench.folder / "a"))
    (note,) = worker_notes.lost(bench.settings)
    assert (note["worker"], note["topic"], note["partition"]) == ("a", bench.raw, 0)
    assert (note["first"], note["after"]) == (10, 34)


def test_the_folder_of_another_broker_is_refused_in_a_sentence(make_bench: Callable[..., Bench]) -> None:
    """As after another prefix, or with a new Kafka; without the folder the worker runs."""
    bench, other = make_bench(), make_bench()
    bench.produce({"id": i, "key": "k"} for i in range(20))
    bench.run_until_committed()
    other.folder.mkdir(exist_ok=True)
    shutil.copytree(bench.folder / "a", other.folder / "a", dirs_exist_ok=True)
    other.produce([{"id": 0, "key": "new"}])
    assert other.start().wait(60) == 1
    said = other.log().read_text()
    assert f"the worker folder {other.folder / 'a'} belongs to another broker" in said
    assert "Traceback" not in said
    shutil.rmtree(other.folder / "a")
    other.run_until_committed()
    assert other.stored() == {"new": [0]}


def test_a_table_from_before_its_topic_was_made_anew_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With RocksDB, and where the disk is lost and the table comes from its changelog."""
    bench.produce({"id": i, "key": "k"} for i in range(20))
    bench.run_until_committed()
    monkeypatch.setenv("APP_DATADIR", str(bench.folder / "a"))
    for topic in (bench.raw, bench.changelog):
        admin = clients.admin(bench.settings)
        for future in admin.delete_topics([topic]).values():
            future.result(10)
        wait_for(lambda gone=topic: gone not in clients.partition_counts(bench.settings), "the topic is gone")
        topics.ensure_topics(bench.settings)
        bench.produce({"id": i, "key": "k"} for i in range(20, 60))
        if topic == bench.changelog:  # as `rebuilding` says; and the worker begins anew
            shutil.rmtree(bench.folder / "a", ignore_errors=True)
            bench.run_until_committed()
            assert bench.stored() == bench.rebuilt() == {"k": list(range(20, 60))}
            break
        for _ in ("with its disk", "without"):
            assert bench.start().wait(60) == 70
            assert "is not the one that table cells was made from" in bench.log().read_text()
            assert journal(bench) == {"in_hand": [], "deaths": {}, "deadly": []}, "a record is blamed"
            assert f"delete {bench.changelog} with it, and cells-*.db" in worker_notes.waiting(bench.settings)[0]["why"]
            shutil.rmtree(bench.folder / "a", ignore_errors=True)
    assert bench.dead_letters() == []


def test_a_table_knows_its_topic_also_when_the_first_batch_failed(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(batch_ms=500)
    bench.produce([{"id": 0, "key": "k"}, {"id": 1, "key": "k"}, {"id": 2, "key": "k", "do": "raise"}])
    bench.run_until_committed()
    assert bench.ids() == [0, 1]
    assert source_key(bench.raw) in {message.key() for message in scan(bench.settings, [bench.changelog])}
