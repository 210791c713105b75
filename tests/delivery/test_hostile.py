"""Whatever somebody writes into a topic: it harms itself, and nobody else."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from boom_streams.kafka import clients
from boom_streams.kafka.reading import headers_of
from boom_streams.operate.status import lag
from tests.delivery.harness import Bench
from tests.support.kafka_batches import batch, content, record, send, varint
from tests.support.waiting import wait_for


def task(number: int, **more: object) -> bytes:
    return json.dumps({"id": number, "key": "k", **more}).encode()


def good(*numbers: int) -> bytes:
    """A batch of tasks."""
    return batch([record(place, b"k", task(number)) for place, number in enumerate(numbers)])


def bomb(size: int) -> bytes:
    """A record of zeros, compressed; it is never there as a whole."""
    before = b"\0" + varint(0) + varint(0) + content(b"k") + varint(size)
    packer = zlib.compressobj(wbits=31)
    parts = [packer.compress(varint(len(before) + size + 1) + before)]
    parts += [packer.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*parts, packer.compress(varint(0)), packer.flush()])


def reasons(bench: Bench) -> list[str]:
    return [headers_of(message)["dead.reason"].decode() for message in bench.dead_letters()]


@pytest.mark.parametrize("role", ["enrich", "sink"])
def test_hostile_records_are_dead_letters_and_the_others_pass(make_bench: Callable[..., Bench], role: str) -> None:
    bench = make_bench(role=role)
    large = bomb(900 << 20)
    send(
        bench.settings.kafka,
        bench.raw,
        good(0, 1),
        batch([record(0, b"k", task(2)), record(1, b"k", task(3), [(b"\xff\xfe", b"1")]), record(2, b"k", task(4))]),
        batch([record(0, b"k", task(5), [(b"", None)] * 1_700_000)]),
        good(6),
        batch([b""], 1, lambda _: large),
        good(7, 8),
    )
    assert len(large) < 1 << 20
    worker = bench.start()
    bench.wait_committed(worker)
    peak = peak_memory(worker.pid)
    assert bench.end(worker) == 0
    assert bench.ids() == [0, 1, 2, 3, 4, 6, 7, 8]
    first, second = reasons(bench)
    assert first == "more than 100 headers"
    assert re.search(r"a gzip batch becomes larger than 67108864 bytes \(its records: \d+ to \d+\)", second)
    letters = bench.dead_letters()
    assert json.loads(letters[0].value())["id"] == 5
    assert len(letters[0].headers()) < 120
    assert peak < 1000, f"{peak} MB"


def test_memory_is_bounded_by_the_bytes_of_what_waits(make_bench: Callable[..., Bench]) -> None:
    """160 records of 11 MB, which take little in Kafka, in front of a stage that is slow."""
    bench = make_bench(role="sink")
    large = [batch([record(0, b"k", task(i, do="swallow") + b" " * (11 << 20))], 1, gzip.compress) for i in range(160)]
    send(bench.settings.kafka, bench.raw, *large)
    worker = bench.start(PAUSE_PER_BATCH="0.1")
    bench.wait_committed(worker, seconds=180)
    peak = peak_memory(worker.pid)
    assert bench.end(worker) == 0
    assert bench.dead_letters() == []
    assert peak < 600, f"{peak} MB"


def test_records_of_aborted_transactions_are_not_read(make_bench: Callable[..., Bench]) -> None:
    """Neither by a worker nor by a command; and what is committed is not behind the end of the topic for ever."""
    bench = make_bench(role="enrich")
    producer = clients.producer(bench.settings, transactional_id=f"{bench.settings.topic_prefix}forger")
    producer.init_transactions(30)
    for numbers, end in ((range(20), producer.abort_transaction), (range(20, 25), producer.commit_transaction)):
        producer.begin_transaction()
        for number in numbers:
            producer.produce(bench.raw, task(number), b"k", partition=0)
        producer.flush(30)
        end(30)
    producer.begin_transaction()
    producer.produce(bench.raw, task(99), b"k", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    worker = bench.start()
    bench.wait_committed(worker)
    assert bench.end(worker) == 0
    assert bench.ids() == list(range(20, 25))
    assert bench.stored() == bench.rebuilt() == {"k": list(range(20, 25))}
    assert lag(bench.settings)["enrich", bench.raw] == 0


def peak_memory(pid: int) -> int:
    """Most memory that a process has had, MB."""
    status = wait_for(lambda: Path(f"/proc/{pid}/status").read_text(), "the process")
    return int(status.split("VmHWM:")[1].split()[0]) >> 10
