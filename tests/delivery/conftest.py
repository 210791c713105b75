"""A bench for each test: topics, workers, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.harness import Bench
from tests.support.forwarder import Forwarder

#: Seconds; short, since a killed worker's successor waits for it.
SESSION = 3.0


@pytest.fixture
def make_bench(make_settings: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Make a bench; its workers are gone after the test, whatever happened."""
    made: list[Bench] = []

    def make(**overrides: Any) -> Bench:
        values = {"partitions": 1, "role": "enrich", "session_timeout": SESSION, "batch_ms": 10} | overrides
        made.append(Bench(make_settings(**values), tmp_path / f"bench{len(made)}"))
        return made[-1]

    yield make
    for bench in made:
        bench.stop()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A bench with one partition and a stage with a table."""
    return make_bench()


@pytest.fixture
def mongodb(services: dict[str, str]) -> Iterator[Forwarder]:
    """A door to MongoDB that the test may shut; it is open."""
    with Forwarder(services["mongo_uri"].removeprefix("mongodb://").split("/")[0].split(",")[0]) as door:
        yield door


def uri(door: Forwarder) -> str:
    """How a worker connects to MongoDB through a door."""
    return f"mongodb://127.0.0.1:{door.port}/?directConnection=true&serverSelectionTimeoutMS=500"
