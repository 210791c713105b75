"""The chain as it is stated, and that the house agrees with it."""

from __future__ import annotations

import importlib

import pytest

from boom_streams import names
from boom_streams.archive import collections
from boom_streams.kafka.topics import required_topics
from boom_streams.settings import load_settings
from boom_streams.topologies.stage import Stage, to_mermaid
from boom_streams.topologies.survey import COLLECTIONS, ROLES, STAGES, TABLES, TOPICS, sources, stages_of


def test_the_chain_is_what_people_know() -> None:
    assert ROLES == ("enrich", "classify", "filter", "sink")
    assert TOPICS == ("raw", "enriched", "classified", "filtered", "dead")
    assert TABLES == ("cells", "objects")
    assert set(COLLECTIONS) == {"alerts", "alerts_aux", "alerts_cutouts", "filter_matches"}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_is_made_by_what_it_names(stage: Stage) -> None:
    module, function = stage.maker
    assert callable(getattr(importlib.import_module(f"boom_streams.agents.{module}"), function))


def test_every_topic_but_the_first_and_the_last_comes_from_a_stage() -> None:
    written = {output for stage in STAGES for output in stage.outputs}
    assert set(TOPICS) == {output for output in written if "<" not in output}


def test_a_table_and_a_collection_have_one_stage_that_writes_them_first() -> None:
    tables = [table for stage in STAGES for table in stage.tables]
    assert len(tables) == len(set(tables))
    assert {stage.role for stage in STAGES if any("_alerts" in name for name in stage.writes)} == {"sink"}


def test_roles_read_the_topics_of_their_stages() -> None:
    assert sources("sink") == ("enriched", "classified", "filtered")
    assert sources("all") == ("raw", "enriched", "classified", "filtered")
    assert {stage.role for stage in stages_of("filter")} == {"filter"}
    assert stages_of("all") == STAGES


def test_the_archive_has_the_collections() -> None:
    assert set(collections._INDEXES) == set(COLLECTIONS)
    assert all(names.is_reserved(names.collection("lsst", kind)) for kind in COLLECTIONS)


def test_kafka_has_the_topics() -> None:
    expected = {f"ztf.{topic}" for topic in TOPICS} | {names.changelog_topic(table) for table in TABLES}
    assert required_topics(load_settings(surveys=("ZTF",))).keys() == expected


def test_the_drawing_shows_what_a_stage_reads_and_writes() -> None:
    drawing = to_mermaid("ztf", STAGES).splitlines()
    for line in (
        "  alerts_aux[(ZTF_alerts_aux)] -.-> classify",
        "  alerts_cutouts[(ZTF_alerts_cutouts)] -.-> filter",
        "  filters[(filters)] -.-> filter",
        "  catalog_tiles[(catalog_tiles)] -.-> enrich",
        "  sink_classified --> alerts_aux[(ZTF_alerts_aux)]",
        "  filter --> filtered.NAME[/filtered.NAME/]",
    ):
        assert line in drawing
