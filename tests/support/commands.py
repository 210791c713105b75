"""Commands of ``boom-streams`` run as a person runs them, on the services of the tests."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from boom_streams.cli import cli
from boom_streams.operate.supervise import environment
from boom_streams.settings import Settings
from boom_streams.settings import current_settings as read_once

__all__ = ["run"]


def run(settings: Settings, *arguments: str | Path, code: int = 0) -> str:
    """Run a command with some settings; return what it says."""
    read_once.cache_clear()
    result = CliRunner(env=environment(settings)).invoke(cli, [*map(str, arguments)])
    read_once.cache_clear()
    assert result.exit_code == code, result.output
    return result.output
