"""Who may see an alert, a point, and what is derived from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boom_streams.surveys import Alert, get_survey
from boom_streams.surveys.rights import Rights
from tests.support import ztf_packets

ZTF = get_survey("ZTF").rights
OPEN, CLOSED = Rights({1: 1}), Rights({3: 3})
POINT = np.dtype([("jd", "f8"), ("programid", "i1")])


def points(*programids: int) -> Any:
    return np.array([(2460000.5, programid) for programid in programids], POINT)


@pytest.mark.parametrize(
    ("programid", "programme"),
    [(1, 1), (2, 2), (3, 3), (0, 3), (64, 3), (-1, 3), (257, 3), (2**40, 3)],
)
def test_unknown_programmes_count_as_that_of_the_fewest(programid: int, programme: int) -> None:
    assert ZTF.programme(programid) == ZTF.level(programid) == programme


@pytest.mark.parametrize("programid", [True, False, None, "1", 1.0, [1], float("nan")])
def test_what_is_no_integer_is_no_programme(programid: Any) -> None:
    assert ZTF.programme(programid) == 3
    assert not ZTF.sees({1, 2}, programid)


@pytest.mark.parametrize(
    ("permitted", "seen", "hidden"),
    [
        ({1}, {1}, {0, 2, 3, 64, -1}),
        ({1, 2}, {1, 2}, {0, 3, 64, -1}),
        ({3}, {3, 0, 64, -1, 127, -128}, {1, 2}),
        ({1, 3}, {1, 3, 0, 64, -1}, {2}),
        ({1, 2, 3}, {1, 2, 3, 0, 64, -1}, set()),
        (set(), set(), {1, 2, 3, 0}),
    ],
)
def test_alerts_and_points_that_are_seen(permitted: set[int], seen: set[int], hidden: set[int]) -> None:
    assert all(ZTF.sees(permitted, programid) for programid in seen)
    assert not any(ZTF.sees(permitted, programid) for programid in hidden)
    assert ZTF.visible(points(*seen), permitted).all()
    assert not ZTF.visible(points(*hidden), permitted).any()


@pytest.mark.parametrize(
    ("programid", "expected"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3, 0, 64]), (0, [1, 2, 3, 0, 64])]
)
def test_what_is_derived_uses_points_of_its_level_and_below(programid: int, expected: list[int]) -> None:
    curve = points(1, 2, 3, 0, 64)
    assert curve[ZTF.derivable(curve, programid)]["programid"].tolist() == expected


def test_a_survey_without_programmes_is_seen_as_a_whole() -> None:
    curve = np.zeros(3, np.dtype([("jd", "f8")]))
    for rights, programme in ((OPEN, 1), (CLOSED, 3)):
        assert rights.visible(curve, {programme}).tolist() == [True] * 3
        assert rights.visible(curve, set()).tolist() == [False] * 3
        assert rights.derivable(curve, 0).all()
        assert (rights.query({programme}), rights.expression("p", {programme})) == ({}, True)
        assert (rights.query(set()), rights.expression("p", set())) == ({"$expr": False}, False)
    assert OPEN.is_public
    assert not CLOSED.is_public
    assert not ZTF.is_public


def test_conditions_for_mongodb() -> None:
    assert ZTF.query({1, 2}) == {"candidate.programid": {"$in": [1, 2]}}
    assert ZTF.query({1, 3}) == {"candidate.programid": {"$nin": [2]}}
    assert ZTF.query({1, 2, 3}) == {}
    assert ZTF.expression("point", {1}) == {"$in": ["$$point.programid", [1]]}
    assert ZTF.expression("point", {3}) == {"$not": [{"$in": ["$$point.programid", [1, 2]]}]}
    assert ZTF.expression("point", {1, 2, 3}) is True


@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize(("kind", "value"), [("boolean", True), ("double", 1.0), ("string", "1")])
def test_a_packet_whose_programid_is_no_integer_is_not_public(
    monkeypatch: pytest.MonkeyPatch, kind: str, value: Any, batch: int
) -> None:
    monkeypatch.setitem(ztf_packets.TYPES, "programid", kind)
    own = ztf_packets.candidate(programid=value)
    listed = [ztf_packets.detection(2459990.5, 7, programid=value), ztf_packets.limit(2459991.5, programid=value)]
    packet = ztf_packets.container(candidate=own, prv_candidates=listed)
    alert = ztf_packets.ZTF.decode([packet] * batch)[-1]
    assert isinstance(alert, Alert)
    assert ZTF.level(alert.programid) == 3
    assert "programid" not in alert.document["candidate"]
    for name, count in (("prv_candidates", 2), ("prv_nondetections", 1)):
        assert len(alert.series[name]) == count
        assert not ZTF.visible(alert.series[name], {1, 2}).any()


def test_a_point_belongs_to_the_programme_that_took_it_whichever_packet_lists_it() -> None:
    listed = [ztf_packets.detection(2459990.5, 7, programid=1), ztf_packets.detection(2459991.5, 8, programid=3)]
    alert = ztf_packets.decode(
        ztf_packets.container(candidate=ztf_packets.candidate(programid=2), prv_candidates=listed)
    )
    curve = alert.series["prv_candidates"]
    assert curve[ZTF.visible(curve, {1})]["candid"].tolist() == [7]
    assert curve[ZTF.derivable(curve, 2)]["candid"].tolist() == [7, 42]
