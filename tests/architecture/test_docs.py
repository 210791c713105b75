"""Whatever a person can set or call is written about in ``docs/`` or the README."""

from __future__ import annotations

import functools
import re

import click
import pytest

from boom_streams.cli import cli
from boom_streams.settings import Settings
from boom_streams.topologies.survey import COLLECTIONS, TABLES, TOPICS
from tests.architecture.sources import ROOT


@functools.cache
def documentation() -> str:
    return "\n".join(f.read_text() for f in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])


def mentioned(text: str) -> bool:
    """Tell whether ``text`` stands in the documentation as code, or begins a line of an example."""
    pattern = rf"`[^`\n]*{re.escape(text)}(?![\w-])[^`\n]*`|^\s*(\$ )?{re.escape(text)}(?![\w-])"
    return re.search(pattern, documentation(), re.MULTILINE) is not None


def commands(group: click.Group, prefix: str = "boom-streams") -> list[str]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        found.append(f"{prefix} {name}")
        if isinstance(command, click.Group):
            found += commands(command, found[-1])
    return found


def test_settings_are_documented() -> None:
    variables = [f"BOOM_{setting.upper()}" for setting in Settings.model_fields]
    assert [variable for variable in variables if not mentioned(variable)] == []


def test_commands_are_documented() -> None:
    assert [command for command in commands(cli) if not mentioned(command)] == []


@pytest.mark.parametrize("stage", TOPICS)
def test_topic_is_documented(stage: str) -> None:
    assert any(mentioned(f"{survey}.{stage}") for survey in ("<survey>", "ztf"))


@pytest.mark.parametrize("table", TABLES)
def test_table_is_documented(table: str) -> None:
    assert mentioned(table)


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_collection_is_documented(kind: str) -> None:
    assert any(mentioned(f"{survey}_{kind}") for survey in ("<SURVEY>", "ZTF"))


@pytest.mark.parametrize("target", ["test", "demo", "chaos", "bench"])
def test_make_target_is_documented(target: str) -> None:
    assert mentioned(f"make {target}")
