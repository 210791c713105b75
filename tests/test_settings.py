"""Settings: how a person writes them, and what is said of a mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from boom_streams.errors import SettingsError
from boom_streams.settings import load_settings
from boom_streams.surveys import registry
from tests.contracts import mayfly

MODELS = ("acai_h", "braai")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", ["acai_h,braai", " acai_h , braai,", '["acai_h", "braai"]'])
def test_names_with_commas_or_as_json(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOM_MODELS", text)
    monkeypatch.setenv("BOOM_SURVEYS", "ZTF")
    assert load_settings().models == MODELS
    assert load_settings().surveys == ("ZTF",)


def test_names_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {"MAYFLY": mayfly.SURVEY})
    Path("boom.toml").write_text('models = ["acai_h", "braai"]\nsurveys = "ztf,MAYFLY"\n')
    assert load_settings().models == MODELS
    assert load_settings().surveys == ("ZTF", "MAYFLY")
    registry.forget()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BOOM_MODELS", '["acai_h"', "BOOM_MODELS: "),
        ("BOOM_PARTITIONS", "many", "BOOM_PARTITIONS: input should be a valid integer"),
        ("BOOM_PARTITIONS", "0", "BOOM_PARTITIONS: input should be greater than or equal to 1"),
        ("BOOM_ROLE", "clean", "BOOM_ROLE: clean is no role; there are all, enrich, classify, filter, sink"),
        ("BOOM_SURVEYS", "", "BOOM_SURVEYS: no survey is named; known are ZTF"),
        ("BOOM_SURVEYS", "ZFT", "BOOM_SURVEYS: unknown survey 'ZFT'; known are ZTF"),
        ("BOOM_TOPIC_PREFIX", "a b", "BOOM_TOPIC_PREFIX: 'a b' cannot begin a topic's name"),
        ("BOOM_MONGO_DB", "a b", "BOOM_MONGO_DB: 'a b' cannot be a database's name"),
        ("BOOM_MONGO_DB", "", "BOOM_MONGO_DB: '' cannot be a database's name"),
        ("BOOM_KAFKA", "localhost:abc", "BOOM_KAFKA: 'localhost:abc' is not host:port"),
        ("BOOM_KAFKA", "a:1,localhost", "BOOM_KAFKA: 'localhost' is not host:port"),
        ("BOOM_COLOUR", "red", "unknown setting BOOM_COLOUR in the environment"),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("partitions = 8\nrole = oops\n", "line 2"),
        ("partitions = 0\n", "partitions (in boom.toml): input should be greater"),
        ("colour = 3\n", "colour (in boom.toml) is not known; known are archive_patience,"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, told: str) -> None:
    Path("boom.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert told in str(error.value)
    assert "boom.toml" in str(error.value)


def test_a_mistake_in_a_program_is_no_mistake_in_the_file() -> None:
    with pytest.raises(SettingsError, match="invalid setting: partitions: input should be greater"):
        load_settings(partitions=0)


@pytest.mark.parametrize(
    "command",
    [
        ["boom_streams.cli", "status"],
        ["boom_streams.cli", "filters", "list"],
        ["boom_streams.cli", "replay", "ztf", "."],
        ["faust", "-A", "boom_streams", "worker"],
    ],
    ids=lambda command: " ".join(command),
)
def test_every_command_says_it_in_a_sentence(command: list[str]) -> None:
    environment = os.environ | {"BOOM_BATCH_SIZE": "x", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    ended = subprocess.run([sys.executable, "-m", *command], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.strip().startswith("Error: invalid setting: BOOM_BATCH_SIZE: ")
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
