"""Adding, listing and switching users' filters from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boom_streams.archive import mongo
from boom_streams.filters import FilterStore
from boom_streams.settings import Settings
from tests.support import commands

BRIGHT = [{"$match": {"candidate.magpsf": {"$lt": 18}}}, {"$project": {"objectId": 1}}]


def run(settings: Settings, *arguments: str | Path, code: int = 0) -> str:
    return commands.run(settings, "filters", *arguments, code=code)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(content: Any, name: str = "bright.json") -> Path:
        file = tmp_path / name
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write


def listed(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(settings, "list", "--json").splitlines()]


def test_a_filter_is_added_switched_on_and_off(settings: Settings, write: Any) -> None:
    assert "filters activate bright" in run(settings, "add", write(BRIGHT), "--permissions", "1,2")
    (document,) = listed(settings)
    assert (document["name"], document["survey"], document["permissions"]) == ("bright", "ZTF", {"ZTF": [1, 2]})
    assert json.loads(document["fv"][0]["pipeline"]) == BRIGHT
    assert document["active"] is False
    assert "bright is active" in run(settings, "activate", "bright")
    assert listed(settings)[0]["active"] is True
    assert run(settings, "deactivate", "bright") == "bright is off\n"
    assert listed(settings)[0]["active"] is False


def test_the_table_says_what_a_person_must_know(settings: Settings, write: Any) -> None:
    assert "filters add FILE" in run(settings, "list")
    run(settings, "add", write(BRIGHT), "--permissions", "1", "--description", "brighter than 18")
    run(settings, "add", write(BRIGHT), "--name", "other", "--permissions", "1,2,3")
    run(settings, "activate", "other")
    other = listed(settings)[1]
    shown = run(settings, "list")
    for expected in ("bright", "ZTF 1 ", "off", "brighter than 18", "other", "ZTF 1,2,3", other["active_fid"]):
        assert expected in shown
    store = FilterStore(mongo.database(settings))
    store.suspend(store.version("other"), "can't $divide by zero", candid=123)
    shown = " ".join(run(settings, "list").split())
    assert "at alert 123: can't $divide by zero" in shown
    assert other["name"] == "other"


def test_a_mistyped_name_is_warned_of_and_accepted(settings: Settings, write: Any) -> None:
    told = run(settings, "add", write([{"$match": {"candidate.drbb": 1}}, BRIGHT[1]]), "--permissions", "1")
    assert told.startswith("warning: candidate.drbb: no alert of ZTF has it; known are ")
    assert "\nadded bright" in told
    refused = run(settings, "add", write([{"$match": {"candidate.drb": {"$gtt": 1}}}, BRIGHT[1]]), code=1)
    assert "$gtt is not allowed; conditions are $all, $elemMatch, $eq, " in refused


def test_a_version_is_named_to_be_active(settings: Settings, write: Any) -> None:
    first = run(settings, "add", write(BRIGHT), "--permissions", "1").split("version ")[1].split(";")[0]
    run(settings, "add", write([{"$match": {}}, *BRIGHT]))
    newest = listed(settings)[0]["fv"][1]["fid"]
    assert newest in run(settings, "activate", "bright")
    assert first in run(settings, "activate", "bright", "--version", first)
    assert listed(settings)[0]["active_fid"] == first
    assert "'nonsense' is not among its versions" in run(
        settings, "activate", "bright", "--version", "nonsense", code=1
    )


def test_a_file_can_say_more_and_options_win(settings: Settings, write: Any) -> None:
    whole = {"survey": "ztf", "permissions": {"ZTF": [1]}, "description": "from the file", "pipeline": BRIGHT}
    run(settings, "add", write(whole))
    run(settings, "add", write(whole, "b.json"), "--name", "c", "--permissions", "2", "--description", "given")
    first, second = listed(settings)
    assert (first["permissions"], first["description"]) == ({"ZTF": [1]}, "from the file")
    assert (second["name"], second["permissions"], second["description"]) == ("c", {"ZTF": [2]}, "given")


def test_a_request_body_of_the_boom_api_is_understood(settings: Settings, write: Any) -> None:
    run(settings, "add", write({"catalog": "ZTF", "permissions": [1], "id": -3, "pipeline": BRIGHT}))
    assert listed(settings)[0]["permissions"] == {"ZTF": [1]}


def test_what_was_translated_is_shown(settings: Settings, shared: Path) -> None:
    output = run(settings, "add", shared / "data/filters/fritz/fritz_filter_01.json", "--permissions", "1")
    assert "translated: stage 2: removed the $lookup in ZTF_alerts_aux" in output
    assert "programid is in [1]" in output


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("[{", ["--permissions", "1"], "bright.json: the pipeline is not JSON"),
        ({"stages": []}, ["--permissions", "1"], 'bright.json: this object has no "pipeline"'),
        (BRIGHT, [], "needs permissions"),
        (BRIGHT, ["--permissions", "4"], "4 is no programid; they are 1, 2, 3"),
        (BRIGHT, ["--permissions", "1", "--survey", "LSST"], "LSST is not among the surveys of this broker: ZTF"),
        (BRIGHT, ["--permissions", "1", "--survey", "SDSS"], "survey 'SDSS' is unknown"),
        (BRIGHT, ["--permissions", "1", "--name", "a b"], "name 'a b'"),
        ([{"$out": "alerts"}, *BRIGHT], ["--permissions", "1"], "stage 1: $out is not allowed"),
        ([{"$match": {"a": {"$geoWithin": 1}}}, BRIGHT[1]], ["--permissions", "1"], "$geoWithin"),
        ([{"$match": {"a": {"$type": "nonsense"}}}, BRIGHT[1]], ["--permissions", "1"], "MongoDB refuses"),
    ],
)
def test_what_is_refused_says_why(
    settings: Settings, write: Any, content: Any, arguments: list[str], message: str
) -> None:
    output = run(settings, "add", write(content), *arguments, code=1)
    assert output.startswith("Error: ")
    assert message in output
    assert run(settings, "list", "--json") == ""


def test_bad_arguments_are_usage_errors(settings: Settings, write: Any, tmp_path: Path) -> None:
    assert "'one' is no list of programids" in run(settings, "add", write(BRIGHT), "--permissions", "one", code=2)
    assert "does not exist" in run(settings, "add", tmp_path / "absent.json", code=2)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not a text in UTF-8" in run(settings, "add", binary, "--permissions", "1", code=1)


def test_unknown_filters_are_named(settings: Settings) -> None:
    for verb in ("activate", "deactivate"):
        assert "no filter 'absent'; `boom-streams filters list` shows all" in run(settings, verb, "absent", code=1)


def test_several_surveys_must_be_told_apart(make_settings: Any, write: Any) -> None:
    from boom_streams.cli.filters import _survey
    from boom_streams.errors import FilterError

    with pytest.raises(FilterError, match="--survey ZTF or LSST"):
        _survey(None, ("ZTF", "LSST"))
    assert _survey("lsst", ("ZTF", "LSST")) == "LSST"
