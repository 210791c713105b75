"""A bench for each test: topics, workers, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.harness import Bench

#: Seconds; short, since a killed worker's successor waits for it.
SESSION = 3.0


@pytest.fixture
def make_bench(make_settings: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Make a bench; its workers are gone after the test, whatever happened."""
    made: list[Bench] = []

    def make(**overrides: Any) -> Bench:
        values = {"partitions": 1, "role": "enrich", "session_timeout": SESSION, "batch_ms": 5} | overrides
        made.append(Bench(make_settings(**values), tmp_path / f"bench{len(made)}"))
        return made[-1]

    yield make
    for bench in made:
        bench.stop()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A bench with one partition and a stage with a table."""
    return make_bench()
