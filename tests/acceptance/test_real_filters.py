"""Filters, real users' among them, pass in flight exactly what mongod selects from the archive afterwards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from boom_streams.archive import mongo
from boom_streams.filters import Filter, FilterStore, archive_pipeline
from tests.acceptance.conftest import FILTERS, MADE_UP_FILTERS, Nights, load_pipeline, packets
from tests.acceptance.transients import FAST, SLOW
from tests.support.pipelines import FRITZ_01_CHANGES

FRITZ = ("fritz-01", "fritz-02")


#: Nights and their filters.
CASES = [("made_up", name) for name in MADE_UP_FILTERS] + [("real", name) for name in FILTERS]


def active(nights: Nights) -> dict[str, Filter]:
    """The active filters."""
    return {one.name: one for one in FilterStore(mongo.database(nights.settings)).load_active("ZTF")}


def selected(nights: Nights, one: Filter) -> set[int]:
    """Candids that mongod selects from the archive."""
    return {found["_id"] for found in mongo.database(nights.settings)["ZTF_alerts"].aggregate(archive_pipeline(one))}


def contradicted(night: Path) -> set[int]:
    """Alerts whose packet lists a detection at another time than the detection's own alert, which wins, has.

    A simulator has moved the times of 20231018. Such an alert is judged by what is known when it comes, and the
    archive knows better once the other alert has come.
    """
    sent = {packet["candid"]: packet for packet in packets(night)}
    return {
        candid
        for candid, packet in sent.items()
        for point in packet["prv_candidates"] or ()
        if point["candid"] in sent and sent[point["candid"]]["candidate"]["jd"] != point["jd"]
    }


@pytest.mark.parametrize(("nights", "name"), CASES, indirect=["nights"])
def test_a_filter_passes_what_mongod_selects_from_the_archive(nights: Nights, name: str) -> None:
    found, passed = selected(nights, active(nights)[name]), set(nights.passed[name])
    unsure = contradicted(nights.night)
    assert passed - unsure == found - unsure
    alerts = mongo.database(nights.settings)["ZTF_alerts"].count_documents({})
    assert 0 < len(found - unsure) < alerts
    matches = mongo.database(nights.settings)["ZTF_filter_matches"]
    stored = Counter(match["candid"] for match in matches.find({"filter_name": name}))
    assert stored == dict.fromkeys(passed, 1)


@pytest.mark.parametrize("name", FRITZ)
def test_a_fritz_filter_as_it_was_written_selects_the_same(real_nights: Nights, shared: Path, name: str) -> None:
    """Its own prefix joins the light curve by hand, in mongod; without the last stage, which drops ``_id``."""
    source, programids = FILTERS[name]
    *stages, last = load_pipeline(shared, source)
    assert last["$project"]["_id"] == 0
    seen = {"$match": {"candidate.programid": {"$in": programids}}}
    found = mongo.database(real_nights.settings)["ZTF_alerts"].aggregate([seen, *stages])
    assert {document["_id"] for document in found} == set(real_nights.passed[name])


def test_what_was_changed_in_fritz_filters_is_told(real_nights: Nights) -> None:
    assert {name: real_nights.changes[name] for name in FILTERS if name not in FRITZ} == {
        name: [] for name in FILTERS if name not in FRITZ
    }
    assert real_nights.changes["fritz-01"] == FRITZ_01_CHANGES
    assert real_nights.changes["fritz-02"][2] == "stage 3: cross_matches: taken from the alert instead of from aux"
    for name in FRITZ:
        stages = [next(iter(stage)) for stage in active(real_nights)[name].pipeline]
        assert stages == ["$match", "$addFields", "$addFields", "$project"]


def test_fast_selects_the_made_up_fast_transients_on_their_second_night(real_nights: Nights) -> None:
    alerts = mongo.database(real_nights.settings)["ZTF_alerts"]
    made = {alert["_id"]: alert for alert in alerts.find({"objectId": {"$in": [*FAST, *SLOW]}})}
    assert len(made) == 2 * len(FAST | SLOW)
    chosen = [made[candid] for candid in set(real_nights.passed["fast"]) & made.keys()]
    assert {alert["objectId"] for alert in chosen} == set(FAST)
    assert all(alert["candidate"]["ndethist"] == 2 for alert in chosen)
    for alert in chosen:  # the statistics see the same change
        discovery, later = FAST[alert["objectId"]]
        slope = alert["properties"]["photstats"]["g"]["rising" if later < discovery else "fading"]
        assert slope["rate"] == pytest.approx((later - discovery) / 0.9951, rel=1e-3)
