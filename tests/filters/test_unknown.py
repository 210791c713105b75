"""Mistyped names in filters are told, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boom_streams.filters import check_pipeline
from boom_streams.filters.language.unknown import unknown_fields
from boom_streams.surveys import get_survey
from tests.contracts.mayfly import SURVEY as MAYFLY

EXAMPLES = sorted((Path(__file__).parents[2] / "boom_streams" / "filters" / "examples").glob("*.json"))
LAST = {"$project": {"objectId": 1}}


def told(*stages: dict[str, Any], survey: Any = None) -> list[str]:
    return unknown_fields(check_pipeline([*stages, LAST])[0], survey or get_survey("ZTF"))


@pytest.mark.parametrize("name", ["candidat.drb", "candidate.drbb", "properties.rok", "candidat"])
def test_a_mistyped_name_is_told_with_those_that_there_are(name: str) -> None:
    (line,) = told({"$match": {name: {"$gt": 0.8}}})
    assert line.startswith(f"{name.removesuffix('.drb')}: no alert of ZTF has it; known are ")
    assert {"candidat": " candidate,", "candidate": " drb,", "properties": " rock,"}[name.partition(".")[0]] in line


def test_names_in_expressions_and_light_curves_are_looked_at() -> None:
    (line,) = told(
        {"$match": {"candidate.drb": {"$gt": 0}}},
        {"$addFields": {"faint": {"$filter": {"input": "$prv_candidates", "cond": {"$gt": ["$$this.magpsff", 20]}}}}},
        {"$match": {"faint.0": {"$exists": True}}},
    )
    assert line.startswith("prv_candidates.magpsff: ")


@pytest.mark.parametrize(
    "stages",
    [
        [{"$match": {"_id": 1, "coordinates.l": 1, "classifications.acai_h": 1, "cross_matches.NED.z": 1}}],
        [{"$match": {"properties.photstats.g.peak_mag": 1, "properties.stationary": True, "properties.sso.is_sso": 1}}],
        [{"$set": {"candidate.mine": 1, "own.part": 2}}, {"$match": {"candidate.mine": 1, "own.part": 2}}],
        [{"$project": {"objectId": 1, "own": "$candidate.drb"}}, {"$match": {"own": 1}}],
        [{"$match": {"prv_candidates.0.magpsf": 1, "prv_candidates": {"$size": 3}, "fp_hists.band": "g"}}],
    ],
)
def test_what_is_there_is_not_told(stages: list[dict[str, Any]]) -> None:
    assert told({"$match": {}}, *stages) == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_of_the_examples_nothing_is_told(file: Path) -> None:
    content = json.loads(file.read_text())
    pipeline = content["pipeline"] if isinstance(content, dict) else content
    assert unknown_fields(check_pipeline(pipeline)[0], get_survey("ZTF")) == []


def test_another_survey_has_other_fields() -> None:
    assert told({"$match": {"properties.bright": True, "candidate.flux": 1}}, survey=MAYFLY) == []
    (line,) = told({"$match": {"properties.rock": True}}, survey=MAYFLY)
    assert line == "properties.rock: no alert of MAYFLY has it; known are bright, photstats, stationary"
