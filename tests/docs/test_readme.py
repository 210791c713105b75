"""What the README tells people to type works."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from boom_streams.cli import cli
from boom_streams.demo import run as demo
from boom_streams.settings import load_settings
from tests.acceptance import made_up

README = Path(__file__).resolve().parent.parent.parent / "README.md"
BOOM = (sys.executable, "-m", "boom_streams.cli")


def commands(section: str = "") -> list[list[str]]:
    """Words of each command in the console blocks, of the section with this heading or of all."""
    text = README.read_text()
    if section:
        text = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [
        line.removeprefix("$ ")
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    return [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]


def named(program: str) -> list[list[str]]:
    return [words[1:] for words in commands() if words[0] == program]


def test_the_readme_has_commands() -> None:
    assert {words[0] for words in commands()} == {"git", "cd", "make", ".", "boom-streams"}
    assert len(named("boom-streams")) >= 8


@pytest.mark.parametrize("target", sorted({words[0] for words in named("make")}))
def test_each_make_target_exists(root: Path, target: str) -> None:
    told = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert target in {line.split()[0] for line in told.splitlines() if line.strip()}


@pytest.mark.parametrize("words", named("boom-streams"), ids=" ".join)
def test_each_command_parses(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-filter.json").write_text("[]")
    (tmp_path / "path/to/alerts").mkdir(parents=True)
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"{words[0]} is no command"
        command, words = found, words[1:]
    command.make_context(command.name, list(words))  # raises what the command line would say


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    from boom_streams import services

    folder = tmp_path / "data"
    yield folder
    services.stop(folder)


@pytest.mark.slow
def test_use_it_for_real(root: Path, tmp_path: Path, data_dir: Path) -> None:
    """The section's commands in their order, ``up`` beside the others, as it says."""
    environment = os.environ | {"BOOM_DATA_DIR": str(data_dir), "PYTHONPATH": str(root), "COLUMNS": "160"}
    shutil.copy(root / "boom_streams/filters/examples/stellar_outburst.json", tmp_path / "my-filter.json")
    real = root.parent / "shared/data/alerts/ztf/20211121_snappy"
    night = str(real if real.is_dir() else made_up.night(tmp_path, real.name))
    workers = None
    outputs = {}
    try:
        for words in commands("Use it"):
            if words[0] != "boom-streams":
                continue
            line = [*BOOM, *(night if word == "path/to/alerts" else word for word in words[1:])]
            if words[1] == "up":
                workers = subprocess.Popen(line, cwd=tmp_path, env=environment)
                continue
            done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
            outputs[words[1]] = done.stdout
            if words[1] == "replay":
                settings = load_settings(**_endpoints(data_dir))
                demo.drain(settings)
        assert "110 alerts" in outputs["replay"]
        assert "objectId" in outputs["consume"]
        assert "ZTF_alerts" in outputs["status"]
    finally:
        if workers is not None:
            workers.send_signal(signal.SIGINT)
            assert workers.wait(60) == 0


def _endpoints(data_dir: Path) -> dict[str, str]:
    from boom_streams import services

    found = {each.name: each.endpoint for each in services.status(data_dir)}
    return {"kafka": found["kafka"], "mongo_uri": found["mongod"], "data_dir": str(data_dir)}
