"""What goes right: everything comes out, in order, acknowledged, and the table is the changelog's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.delivery.harness import Bench


@pytest.mark.parametrize(("role", "batch_size"), [("enrich", 1), ("classify", 200), ("sink", 200)])
def test_all_records_come_out_in_order(make_bench: Callable[..., Bench], role: str, batch_size: int) -> None:
    bench = make_bench(role=role, partitions=3, batch_size=batch_size)
    tasks = [{"id": i, "key": f"k{i % 3}{i % 5}", "partition": i % 3} for i in range(300)]
    bench.produce(tasks)
    bench.run_until_committed()
    for partition in range(3):
        assert bench.ids(partition) == list(range(partition, 300, 3))
    if role != "sink":
        expected: dict[str, list[int]] = {}
        for task in tasks:
            expected.setdefault(str(task["key"]), []).append(int(str(task["id"])))
        assert bench.rebuilt() == bench.stored() == dict(sorted(expected.items()))
