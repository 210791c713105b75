"""Filters as BOOM stores them, and rights."""

from __future__ import annotations

import json
from typing import Any

import pytest

from boom_streams.errors import FilterError
from boom_streams.filters import Filter, parse_pipeline
from boom_streams.filters.document import check_name, check_survey

PIPELINE = [{"$match": {"candidate.magpsf": {"$lt": 18}}}, {"$project": {"objectId": 1}}]
OTHER = [{"$match": {"candidate.magpsf": {"$lt": 17}}}, {"$project": {"objectId": 1}}]


def document(**changes: Any) -> dict[str, Any]:
    versions = [{"fid": "v1", "pipeline": json.dumps(PIPELINE)}, {"fid": "v2", "pipeline": json.dumps(OTHER)}]
    own = {"_id": "id", "name": "bright", "survey": "ZTF", "permissions": {"ZTF": [1]}, "user_id": "u"}
    return own | {"active": True, "active_fid": "v2", "fv": versions} | changes


def test_the_active_version_is_read() -> None:
    read = Filter.from_document(document())
    assert read == Filter("id", "bright", "ZTF", {"ZTF": (1,)}, "v2", tuple(OTHER), "u")
    assert Filter.from_document(document(), "v1").pipeline == tuple(PIPELINE)
    assert Filter.from_document(document(fv=[{"fid": "v2", "pipeline": OTHER}])) == read


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"survey": "SDSS"}, "survey 'SDSS' is unknown; known are ZTF, LSST, DECAM, WINTER"),
        ({"survey": None}, "survey None is unknown"),
        ({"active_fid": "v3"}, "version 'v3' is not among its versions"),
        ({"active_fid": None}, "version None is not among its versions"),
        ({"fv": None}, "not among its versions"),
        ({"fv": ["v2"]}, "not a filter's document"),
        ({"fv": [{"fid": "v2"}]}, "a pipeline is a list of stages"),
        ({"fv": [{"fid": "v2", "pipeline": "[{"}]}, "not JSON"),
        ({"fv": [{"fid": "v2", "pipeline": [{"$out": "x"}]}]}, "$out is not allowed"),
        ({"name": "../x"}, "name '../x'"),
        ({"name": None}, "name None"),
        ({"permissions": None}, "a filter of ZTF needs permissions"),
        ({"permissions": {"LSST": [1]}}, "a filter of ZTF needs permissions"),
        ({"permissions": {"ZTF": []}}, "a filter of ZTF needs permissions"),
        ({"permissions": {"ZTF": [0]}}, "0 is no programid; they are 1, 2, 3"),
    ],
)
def test_documents_that_are_wrong_say_why_and_which(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FilterError) as error:
        Filter.from_document(document(**changes))
    assert message in str(error.value)
    assert "id" in str(error.value)


@pytest.mark.parametrize("junk", [{}, {"survey": "ZTF"}, {"survey": "ZTF", "fv": {}}, {"fv": [{"fid": "v2"}]}])
def test_any_other_document_is_refused(junk: dict[str, Any]) -> None:
    with pytest.raises(FilterError):
        Filter.from_document(junk)


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 100])
def test_names_that_can_be_topics(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "ä", "x" * 101, "a\0", 5, None, ["a"]])
def test_names_that_cannot(name: Any) -> None:
    with pytest.raises(FilterError, match="letters a-z A-Z 0-9"):
        check_name(name)


def test_surveys_in_any_case() -> None:
    assert [check_survey(name) for name in ("ztf", "Lsst", "DECam", "WINTER")] == ["ZTF", "LSST", "DECAM", "WINTER"]


def test_json_is_read_as_it_stands() -> None:
    text = '[{"$match": {"a": {"$gt": 9007199254740993, "$lt": 1.5e3}}}]'
    assert parse_pipeline(text) == [{"$match": {"a": {"$gt": 9007199254740993, "$lt": 1500.0}}}]
