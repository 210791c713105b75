"""The shipped example filters, on a made-up night and a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boom_streams import filters
from boom_streams.archive import mongo
from boom_streams.demo.run import activate_examples
from boom_streams.filters import Evaluator, FilterStore
from boom_streams.settings import Settings
from boom_streams.testing import Stored, classify, sample_packets
from tests.support.alerts import containers

FILES = sorted((Path(filters.__file__).parent / "examples").glob("*.json"))


def test_there_are_examples_that_say_what_they_are_for() -> None:
    assert len(FILES) >= 2
    for file in FILES:
        example = json.loads(file.read_text())
        assert len(example["description"]) > 20, file.name
        _, changes = filters.check_pipeline(example["pipeline"])
        assert changes == [], file.name


@pytest.fixture(params=["made up", "real"])
def night(request: pytest.FixtureRequest) -> tuple[list[Stored], float]:
    """Alerts of a night, and the largest share of them that a filter may pass: half of made-up ones are supernovae."""
    if request.param == "made up":
        return classify(sample_packets("ZTF", 120)), 0.5
    return classify(containers(request.getfixturevalue("shared") / "data/alerts/ztf/20211121_snappy")), 0.1


def test_each_passes_some_alerts_of_a_night_but_few(settings: Settings, night: tuple[list[Stored], float]) -> None:
    alerts, share = night
    assert len(alerts) in (110, 120)
    database = mongo.database(settings)
    assert activate_examples(settings, "ZTF") == [file.stem for file in FILES]
    active = FilterStore(database).load_active("ZTF")
    matches, failures = Evaluator(database).evaluate([one.record for one in alerts], active)
    assert failures == []
    for one in active:
        found = [match for match in matches if match.filter is one]
        assert 1 <= len(found) <= share * len(alerts), one.name
        assert all(match.annotations for match in found), one.name


def test_examples_that_are_there_already_are_left_alone(settings: Settings) -> None:
    activate_examples(settings, "ZTF")
    store = FilterStore(mongo.database(settings))
    store.deactivate(FILES[0].stem)
    assert activate_examples(settings, "ZTF") == []
    assert len(store.load_active("ZTF")) == len(FILES) - 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_name_can_be_a_topic(file: Path) -> None:
    assert filters.document.check_name(file.stem) == file.stem
