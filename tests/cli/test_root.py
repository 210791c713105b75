"""The command itself: help, errors, start-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from boom_streams.cli import cli

ROOT = Path(__file__).resolve().parent.parent.parent


def leaves(command: click.Command, name: str = "boom-streams") -> list[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        children = [command.get_command(context, child) for child in command.list_commands(context)]
        return [leaf for child in children if child for leaf in leaves(child, f"{name} {child.name}")]
    return [(name, command)]


def test_help_lists_every_command_with_a_sentence() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0, result.output
    words = [line.split() for line in result.output.splitlines() if line.startswith("  ") and line.split()]
    listed = {name: rest for name, *rest in words}
    for name in cli.list_commands(click.Context(cli)):
        assert len(listed[name]) >= 3, name


def test_every_command_and_option_is_explained() -> None:
    for name, command in leaves(cli):
        assert command.help, name
        for parameter in command.params:
            explained = isinstance(parameter, click.Argument) or getattr(parameter, "help", None)
            assert explained, (name, parameter.name)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from boom_streams.cli import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0\n"
        "heavy = ('confluent_kafka', 'pymongo', 'numpy', 'fastavro', 'faust', 'pydantic', 'rich')\n"
        "print(*(name for name in heavy if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_wrong_setting_is_named_and_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from boom_streams.settings import current_settings

    current_settings.cache_clear()
    monkeypatch.setenv("BOOM_KAFAK", "x")
    result = CliRunner().invoke(cli, ["init"])
    current_settings.cache_clear()
    assert result.exit_code == 1
    assert result.output.startswith("Error: unknown setting BOOM_KAFAK")


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from boom_streams.errors import SettingsError
    from boom_streams.settings import current_settings

    current_settings.cache_clear()
    monkeypatch.setenv("BOOM_KAFAK", "x")
    result = CliRunner().invoke(cli, ["--debug", "init"])
    current_settings.cache_clear()
    assert isinstance(result.exception, SettingsError)


def test_an_unknown_command_is_an_error() -> None:
    result = CliRunner().invoke(cli, ["conusme"])
    assert result.exit_code == 2
    assert "conusme" in result.output
