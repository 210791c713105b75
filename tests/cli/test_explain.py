"""Errors of services and files are one sentence, whichever command meets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from pymongo.errors import OperationFailure

from boom_streams.archive import mongo
from boom_streams.cli.explain import explain
from boom_streams.kafka import topics
from boom_streams.settings import Settings
from tests.support.commands import run

AWAY = SecretStr("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")


@pytest.fixture
def filter_file(tmp_path: Path) -> Path:
    file = tmp_path / "f.json"
    file.write_text('[{"$match": {"candid": 1}}, {"$project": {"objectId": 1}}]')
    return file


@pytest.mark.parametrize(
    "command",
    [
        "filters list",
        "filters add f.json --survey ZTF --permissions 1",
        "filters activate f",
        "catalogs list",
        "init",
    ],
)
def test_mongodb_away(
    make_settings, tmp_path: Path, filter_file: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings: Settings = make_settings(mongo_uri=AWAY, partitions=1)
    topics.ensure_topics(settings)
    *_, told = run(settings, *command.split(), code=1).splitlines()
    assert told.startswith(
        "Error: MongoDB does not answer (127.0.0.1:1: [Errno 111] Connection refused); start it with"
    )


@pytest.mark.parametrize(
    "command", ["consume fast", "dead list", "dead show a/1/2", "dead replay --all", "replay ztf .", "init"]
)
def test_kafka_away(make_settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.avro").touch()
    (told,) = run(make_settings(kafka="127.0.0.1:1"), *command.split(), code=1).splitlines()
    assert told.startswith("Error: Kafka does not answer at 127.0.0.1:1; start it with `boom-streams services start`")


def test_a_user_that_mongodb_refuses() -> None:
    told = mongo.explain(OperationFailure("Authentication failed., full error: {…}", 18))
    assert told.startswith("MongoDB refuses this user: Authentication failed.; check user and password")


def test_a_file_that_cannot_be_written_and_what_is_a_fault_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        (tmp_path / "file" / "x").mkdir()
    assert explain(caught.value) == f"{tmp_path}/file/x: Not a directory"
    assert explain(ValueError("?")) is None
