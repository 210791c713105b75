"""A worker killed at every point of a batch's delivery: nothing is lost, and the table stays the changelog's."""

from __future__ import annotations

from tests.delivery.harness import Bench


def test_killed_anywhere_nothing_is_lost(bench: Bench) -> None:
    points = ("process", "changelog", "output", "ack")
    tasks = [{"id": i, "key": f"k{i % 7}"} for i in range(200)]
    for point, index in zip(points, range(20, 200, 50), strict=True):
        tasks[index] |= {"do": "wait"} if point == "process" else {"hold": point}
    for point, part in zip(points, range(0, 200, 50), strict=True):
        bench.produce(tasks[part : part + 50])
        worker = bench.start()
        bench.wait_gate(point)
        worker.kill()
        worker.wait()
        bench.open_gate(point)
    worker = bench.start()
    bench.wait_committed(worker)
    worker.kill()  # at idle
    worker.wait()
    bench.produce([{"id": 200, "key": f"k{200 % 7}"}])
    bench.run_until_committed()
    ids = bench.ids()
    assert sorted(set(ids)) == list(range(201))
    assert len(ids) > 201, "the kill after the output was not seen"
    expected = {f"k{k}": list(range(k, 201, 7)) for k in range(7)}
    assert bench.stored() == expected
    assert bench.rebuilt() == expected
    assert bench.dead_letters() == []
