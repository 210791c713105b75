"""Partitions change hands: nothing is lost, and only an owner writes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

from confluent_kafka import ConsumerGroupState

from boom_streams.kafka import clients
from tests.delivery.conftest import uri
from tests.delivery.harness import Bench
from tests.support.forwarder import Forwarder
from tests.support.waiting import wait_for


def test_workers_come_and_go_while_batches_are_in_flight(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(role="classify", partitions=2, batch_size=20)
    tasks = [{"id": i, "key": f"k{i % 6}", "partition": i % 2} for i in range(2000)]
    bench.produce(tasks)
    first = bench.start("a", PAUSE_PER_BATCH="0.15")
    wait_for(bench.ids, "the first worker has begun")
    second = bench.start("b", PAUSE_PER_BATCH="0.15")
    wait_for(lambda: len(list((bench.folder / "b").rglob("cells-*.db"))) == 1, "the second worker has a partition")
    seen = len(bench.ids())
    wait_for(lambda: len(bench.ids()) > seen, "work goes on")
    assert seen < 2000, "the rebalance was not while records were in flight"
    assert bench.end(first) == 0, bench.log("a").read_text()[-3000:]
    bench.wait_committed(second)
    assert bench.end(second) == 0
    for partition in (0, 1):  # redelivered in blocks perhaps, but first seen in their order
        first_seen = list(dict.fromkeys(bench.ids(partition)))
        assert first_seen == list(range(partition, 2000, 2))
    expected = {f"k{k}": list(range(k, 2000, 6)) for k in range(6)}
    assert bench.rebuilt() == bench.stored("b") == expected
    assert bench.dead_letters() == []


def test_a_frozen_worker_does_not_write_after_its_successor(bench: Bench) -> None:
    bench.produce([{"id": 0, "key": "k"}, {"id": 1, "key": "k", "do": "wait"}])
    frozen = bench.start("a")
    bench.wait_gate("process")
    os.kill(frozen.pid, signal.SIGSTOP)
    bench.open_gate("process")
    bench.produce([{"id": i, "key": "k"} for i in range(2, 10)])
    successor = bench.start("b")
    bench.wait_committed(successor)
    before = bench.changelog_offsets()
    os.kill(frozen.pid, signal.SIGCONT)
    assert frozen.wait(20) == 70
    assert "was frozen" in bench.log("a").read_text()
    assert bench.end(successor) == 0
    assert bench.changelog_offsets() == before
    assert bench.ids() == list(range(10))
    assert bench.rebuilt() == bench.stored("b") == {"k": list(range(10))}
    bench.produce([{"id": 10, "key": "k"}])
    bench.run_until_committed("a")  # its folder is behind, and catches up
    assert bench.rebuilt() == bench.stored("a") == {"k": list(range(11))}


def test_a_busy_worker_is_not_a_frozen_one(bench: Bench) -> None:
    bench.produce([{"id": 0, "key": "k", "do": "wait"}])
    worker = bench.start()
    bench.wait_gate("process")
    time.sleep(1.5 * bench.settings.session_timeout)  # the time that passes is what is tested
    bench.open_gate("process")
    bench.wait_committed(worker)
    assert bench.end(worker) == 0
    assert bench.ids() == [0]


def test_a_held_batch_does_not_hold_up_a_rebalance_nor_the_end(
    make_bench: Callable[..., Bench], mongodb: Forwarder
) -> None:
    """MongoDB is away: a second worker comes and gets its share, both end when asked, and nothing is lost."""
    mongodb.shut()
    bench = make_bench(role="classify", partitions=2, batch_size=5, mongo_uri=uri(mongodb))
    tasks = [{"id": i, "key": f"k{i % 2}", "partition": i % 2} for i in range(60)]
    for task in tasks[:2]:
        task["do"] = "ask"
    bench.produce(tasks)
    first = bench.start("a")
    bench.wait_gate("mongodb")
    second = bench.start("b")
    wait_for(lambda: len(list((bench.folder / "b").rglob("cells-*.db"))) == 1, "the second worker has a partition")
    assert (bench.end(first), bench.end(second)) == (0, 0)
    assert bench.committed() == {}
    mongodb.open()
    bench.run_until_committed("c")
    assert [bench.ids(p) for p in (0, 1)] == [list(range(p, 60, 2)) for p in (0, 1)]
    assert bench.rebuilt() == bench.stored("c") == {f"k{k}": list(range(k, 60, 2)) for k in (0, 1)}
    assert bench.dead_letters() == []
    assert json.loads((bench.folder / "a" / "journal.json").read_text())["deaths"] == {}


def test_what_is_dropped_late_does_not_stop_the_new_assignment(make_bench: Callable[..., Bench]) -> None:
    """A batch of a stage without tables is in hand during a whole rebalance: its drop is the old assignment's."""
    bench = make_bench(role="sink", partitions=2)
    tasks = [{"id": i, "key": f"k{i % 2}", "partition": i % 2} for i in range(20)]
    tasks[0]["do"] = tasks[1]["do"] = "wait"
    bench.produce(tasks)
    first = bench.start("a")
    bench.wait_gate("process")
    second = bench.start("b")
    wait_for(lambda: assigned(bench) == [1, 1], "each worker has a partition")
    bench.open_gate("process")
    bench.produce([{"id": i, "key": f"k{i % 2}", "partition": i % 2} for i in range(20, 40)])
    bench.wait_committed(first, second)
    assert [sorted(set(bench.ids(p))) for p in (0, 1)] == [list(range(p, 40, 2)) for p in (0, 1)]
    assert (bench.end(first), bench.end(second)) == (0, 0)


def assigned(bench: Bench) -> list[int]:
    """Number of partitions of each member of the group, when it is stable."""
    (future,) = clients.admin(bench.settings).describe_consumer_groups([bench.group]).values()
    group = future.result(10)
    stable = group.state is ConsumerGroupState.STABLE
    return [len(member.assignment.topic_partitions) for member in group.members] if stable else []


def test_a_stage_that_hangs_cannot_hold_up_the_end(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(role="sink")
    bench.produce([{"id": 0, "key": "k", "do": "wait"}])
    worker = bench.start()
    bench.wait_gate("process")
    assert bench.end(worker) == 70
    assert "did not end" in bench.log().read_text()
    assert bench.committed() == {}
