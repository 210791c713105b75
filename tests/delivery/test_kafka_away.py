"""Kafka away: a worker waits or ends, and nothing is lost, doubled in a table, or blamed on a record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boom_streams import services as local
from boom_streams.kafka import clients
from boom_streams.settings import load_settings
from tests.delivery.conftest import SESSION
from tests.delivery.harness import Bench
from tests.support.waiting import wait_for


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Path]:
    """A Kafka that this test may stop; its folder."""
    folder = tmp_path / "services"
    local.start(folder, only="kafka")
    yield folder
    local.stop(folder)


@pytest.fixture
def bench(own_kafka: Path, tmp_path: Path) -> Iterator[Bench]:
    values: dict[str, Any] = {"partitions": 1, "role": "enrich", "session_timeout": SESSION, "data_dir": own_kafka}
    made = Bench(load_settings(kafka=local.start(own_kafka, only="kafka").kafka, **values), tmp_path / "bench")
    yield made
    made.stop()


def test_a_worker_survives_or_ends_and_loses_nothing(bench: Bench, own_kafka: Path) -> None:
    bench.produce({"id": i, "key": f"k{i % 5}"} for i in range(50))
    bench.produce([{"id": 50, "key": "k0", "hold": "changelog"}])
    worker = bench.start()
    bench.wait_gate("changelog")
    local.stop(own_kafka, only="kafka", kill=True)
    bench.open_gate("changelog")  # written to RocksDB; now it is sent, and nobody answers
    local.start(own_kafka, only="kafka")
    clients.admin.cache_clear()
    bench.produce({"id": i, "key": f"k{i % 5}"} for i in range(51, 100))
    wait_for(
        lambda: worker.poll() is not None or bench.is_committed(), f"the worker goes on, or ends; {bench.log()}", 120
    )
    if worker.poll() is None:
        assert bench.end(worker) in (0, 70)
    else:
        assert worker.returncode in (1, 70), bench.log().read_text()[-3000:]
        bench.run_until_committed()
    assert sorted(set(bench.ids())) == list(range(100))
    expected = {f"k{k}": list(range(k, 100, 5)) for k in range(5)}
    assert bench.rebuilt() == bench.stored() == expected
    assert bench.dead_letters() == []
    assert json.loads((bench.folder / "a" / "journal.json").read_text())["deaths"] == {}
