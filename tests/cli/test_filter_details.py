"""Showing, exporting and removing filters, and what becomes of their topics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from boom_streams import names
from boom_streams.archive import mongo
from boom_streams.kafka.clients import partition_counts
from boom_streams.kafka.writer import Writer
from boom_streams.settings import Settings
from tests.support import commands

BRIGHT = [{"$match": {"candidate.magpsf": {"$lt": 18}}}, {"$project": {"objectId": 1}}]


@pytest.fixture
def settings(make_settings: Any) -> Settings:
    made: Settings = make_settings(filter_refresh=0.1)
    return made


def run(settings: Settings, *arguments: str | Path, code: int = 0) -> str:
    return commands.run(settings, "filters", *arguments, code=code)


def add(settings: Settings, folder: Path, name: str = "bright", code: int = 0) -> str:
    file = folder / f"{name}.json"
    file.write_text(json.dumps(BRIGHT))
    return run(settings, "add", file, "--permissions", "1,2", "--description", "brighter [/b] than 18", code=code)


def topic(settings: Settings, name: str = "bright") -> str:
    return names.filter_topic(name, settings.topic_prefix)


def test_a_filter_is_shown_as_a_whole(settings: Settings, tmp_path: Path) -> None:
    add(settings, tmp_path)
    document = mongo.database(settings).filters.find_one()
    assert document is not None
    shown = run(settings, "show", "bright")
    for expected in ("survey       ZTF", "permissions  ZTF 1,2", "description  brighter [/b] than 18",
                     "state        off", f"topic        {topic(settings)}: not there yet", "matches      0 so far",
                     f"version      {document['active_fid']} of 20", json.dumps(BRIGHT, indent=2)):  # fmt: skip
        assert expected in shown
    assert "(active)" not in shown
    run(settings, "activate", "bright")
    matches = mongo.database(settings).ZTF_filter_matches
    matches.insert_many([{"filter_id": document["_id"]}, {"filter_id": "another"}])
    writer = Writer(settings)
    writer.send(topic(settings), b"x", b"1", 0)
    writer.finish()
    shown = run(settings, "show", document["_id"])
    assert "state        on" in shown
    assert "(active)" in shown
    assert f"{topic(settings)}: 1 record\n" in shown
    assert "matches      1 so far" in shown
    assert "'v9' is not among its versions" in run(settings, "show", "bright", "--version", "v9", code=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"_id": bson.ObjectId("64b7f1f4c9d3a2b1e0f4a5b6")},
        {"updated_at": DatetimeMS(253402300800000)},
        {"permissions": [1]},
        {"description": 5},
    ],
    ids=str,
)
def test_any_document_is_shown_and_listed(settings: Settings, tmp_path: Path, changes: dict[str, Any]) -> None:
    add(settings, tmp_path)
    filters = mongo.database(settings).filters
    document = filters.find_one_and_delete({})
    filters.insert_one(RawBSONDocument(bson.encode({**document, **changes})))
    assert "name         bright" in run(settings, "show", "bright")
    assert "bright" in run(settings, "list")
    assert run(settings, "list", "--json")


def test_what_is_exported_can_be_added(make_settings: Any, settings: Settings, tmp_path: Path) -> None:
    add(settings, tmp_path)
    exported = run(settings, "export", "bright")
    assert json.loads(exported) == {
        "name": "bright", "survey": "ZTF", "permissions": {"ZTF": [1, 2]}, "description": "brighter [/b] than 18",
        "pipeline": BRIGHT,
    }  # fmt: skip
    file = tmp_path / "anything.json"
    file.write_text(exported)
    other = make_settings()
    assert "added bright" in run(other, "add", file)
    assert run(other, "export", "bright") == exported


def test_a_filter_is_removed_and_its_name_stays_taken_until_its_topic_is_deleted(
    settings: Settings, tmp_path: Path
) -> None:
    add(settings, tmp_path)
    run(settings, "activate", "bright")
    for asking in ([], ["--yes"]):
        told = run(settings, "remove", "bright", *asking, code=1)
        assert told.startswith("Error: filter bright is on; switch it off first"), "before anything is asked"
    run(settings, "deactivate", "bright")
    assert "Aborted" in run(settings, "remove", "bright", code=1)
    said = run(settings, "remove", "bright", "--yes")
    assert "its matches stay in ZTF_filter_matches" in said
    assert "its topic stays as well" in said
    assert run(settings, "list", "--json") == ""
    assert topic(settings) in partition_counts(settings)
    assert "choose another name" in add(settings, tmp_path, code=1)
    assert "no filter 'bright'" in run(settings, "remove", "bright", "--yes", code=1)
    assert "the name can be used again" in run(settings, "remove", "bright", "--topic", "--yes")
    assert topic(settings) not in partition_counts(settings)
    add(settings, tmp_path)
    assert "is active" in run(settings, "activate", "bright")


def test_a_filter_is_removed_with_its_topic(settings: Settings, tmp_path: Path) -> None:
    add(settings, tmp_path)
    run(settings, "activate", "bright")
    run(settings, "deactivate", "bright")
    assert "the topic of bright is deleted" in run(settings, "remove", "bright", "--topic", "--yes")
    assert topic(settings) not in partition_counts(settings)


def test_names_that_kafka_takes_for_one_are_refused_also_of_filters_that_are_gone(
    settings: Settings, tmp_path: Path
) -> None:
    add(settings, tmp_path, "my_sn")
    assert "which Kafka does not tell apart" in add(settings, tmp_path, "my.sn", code=1)
    run(settings, "activate", "my_sn")
    run(settings, "deactivate", "my_sn")
    run(settings, "remove", "my_sn", "--yes")
    assert "choose another name" in add(settings, tmp_path, "my.sn", code=1)
    assert "added myXsn" in add(settings, tmp_path, "myXsn")


def test_the_topic_is_there_from_activation_on(settings: Settings, tmp_path: Path) -> None:
    add(settings, tmp_path)
    assert topic(settings) not in partition_counts(settings)
    run(settings, "activate", "bright")
    assert partition_counts(settings)[topic(settings)] == 1
    said = commands.run(settings, "consume", "bright", "--timeout", "0.2")
    assert "no filter and no topic" not in said
    assert "filter bright is active, nothing yet" in said


def test_a_filter_whose_topic_cannot_be_made_is_not_switched_on(settings: Settings, tmp_path: Path) -> None:
    add(settings, tmp_path, "my_sn")
    mongo.database(settings).filters.update_one({}, {"$set": {"name": "my.sn"}})
    add(settings, tmp_path, "other")
    mongo.database(settings).filters.update_one({"name": "other"}, {"$set": {"name": "my_sn"}})
    run(settings, "activate", "my.sn")
    assert "collides" in run(settings, "activate", "my_sn", code=1)
    assert [one["active"] for one in mongo.database(settings).filters.find().sort("name")] == [True, False]
