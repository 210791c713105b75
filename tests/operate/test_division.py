"""How many workers a role gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from boom_streams.cli import cli
from boom_streams.operate import division
from boom_streams.operate.division import cores, divide
from boom_streams.settings import current_settings
from boom_streams.topologies.survey import ROLES


@pytest.mark.parametrize(
    ("cores", "classify", "others"),
    [(1, 1, 1), (2, 2, 1), (4, 3, 1), (8, 6, 1), (16, 8, 2), (64, 8, 7)],
)
def test_the_dearest_role_gets_most(cores: int, classify: int, others: int) -> None:
    workers = divide(cores, 8)
    assert list(workers) == list(ROLES)
    assert workers["classify"] == classify
    assert workers["enrich"] in (others, others + 1)
    assert workers["filter"] in (others, others + 1)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_never_more_workers_than_partitions(count: int) -> None:
    for partitions in (1, 2, 3):
        assert all(1 <= workers <= partitions for workers in divide(count, partitions).values())


def test_somebody_may_choose() -> None:
    assert divide(2, 8, {"classify": 4, "sink": 0}) == {"enrich": 1, "classify": 4, "filter": 1, "sink": 0}


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(division, "_CGROUP", limit)
    unlimited = cores()
    limit.write_text("50000 100000\n")
    assert cores() == 0.5
    limit.write_text("max 100000\n")
    assert cores() == unlimited


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("classify", "'classify' is not ROLE=N with a role of enrich, classify, filter, sink"),
        ("clean=1", "is not ROLE=N"),
        ("classify=-1", "is not ROLE=N"),
        ("sink=1,classify=9", "the topics have 8 partitions"),
    ],
)
def test_a_wrong_choice_is_refused(choice: str, told: str) -> None:
    current_settings.cache_clear()
    result = CliRunner().invoke(cli, ["up", "--workers", choice])
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())
