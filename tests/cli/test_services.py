"""``boom-streams services`` on a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from boom_streams.cli import cli
from boom_streams.settings import current_settings


@pytest.fixture
def run(tmp_path: Path):
    def run(*arguments: str, code: int = 0) -> str:
        current_settings.cache_clear()
        result = CliRunner(env={"BOOM_DATA_DIR": str(tmp_path)}).invoke(cli, ["services", *arguments])
        current_settings.cache_clear()
        assert result.exit_code == code, result.output
        return result.output

    yield run
    run("stop")


@pytest.mark.slow
def test_start_status_stop(run) -> None:
    assert "nothing was running" in run("stop")
    assert "not started" in run("status", code=1)
    endpoints = json.loads(run("start", "--json"))
    assert json.loads(run("start", "--json")) == endpoints  # what runs stays as it is
    found = json.loads(run("status", "--json"))
    assert {name: each["answers"] for name, each in found.items()} == {"kafka": True, "mongod": True}
    assert found["kafka"]["endpoint"] == endpoints["kafka"]
    assert set(run("stop").split()) >= {"stopped", "kafka", "mongod"}
    run("status", code=1)
