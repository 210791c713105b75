"""The sampling switch: nothing when it is off, every record when it is 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bson
import pytest

from boom_streams.agents.delivery.batch import Record, Result, Work
from boom_streams.agents.delivery.output import Send
from boom_streams.agents.delivery.sampling import sampled
from boom_streams.operate import worker_notes
from boom_streams.operate.worker_notes import Notes
from boom_streams.settings import load_settings
from boom_streams.testing import stages
from tests.support.ztf_packets import container


def sends(*records: tuple[str, bytes]) -> Any:
    """A stage that sends these records, whatever it is given."""
    return lambda work: [Result([Send(f"p.ztf.{kind}", b"k", value, 0) for kind, value in records])]


def batch() -> Work:
    return Work([Record("p.ztf.raw", 0, 0, 0.0, b"k", b"v", {})])


def test_a_switch_that_is_off_leaves_the_stage_as_it_is() -> None:
    process = sends()
    assert sampled(process, "enrich", 0.0, lambda stage, what: None) is process


def test_what_does_not_fit_is_counted_and_goes_its_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = stages.enriched([container()])[0]
    bad = bson.encode({**bson.decode(good), "ra": 400.0, "colour": "red"})
    notes = Notes(tmp_path / "workers" / "enrich-0")
    stage = sampled(sends(("enriched", good), ("enriched", bad), ("raw", b"no BSON")), "enrich", 1.0, notes.unfit)
    for _ in range(2):
        assert len(stage(batch())[0].sends) == 3
    (found,) = worker_notes.unfit(load_settings(data_dir=tmp_path))
    assert (found["worker"], found["stage"], found["count"]) == ("enrich-0", "enrich", 2)
    assert "ra: Input should be less than 360; colour: Extra inputs are not permitted" in found["last"]
    assert len([line for line in caplog.messages if "enrich: a record for p.ztf.enriched does not fit" in line]) == 2


def test_a_share_is_a_share() -> None:
    told: list[str] = []
    stage = sampled(sends(("classified", b"no BSON")), "classify", 0.3, lambda _, what: told.append(what))
    for _ in range(500):
        stage(batch())
    assert 90 < len(told) < 220
    assert told[0].startswith("InvalidBSON")
