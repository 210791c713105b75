"""The collection of filters: versions, switching, suspension, and what workers load."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from boom_streams.errors import FilterError
from boom_streams.filters import Filter, FilterStore
from tests.support.classified import scratch_database

BRIGHT = [{"$match": {"candidate.magpsf": {"$lt": 18}}}, {"$project": {"objectId": 1}}]
BRIGHTER = [{"$match": {"candidate.magpsf": {"$lt": 16}}}, {"$project": {"objectId": 1}}]
PUBLIC = {"ZTF": [1]}


@pytest.fixture
def database(services: dict[str, str]) -> Iterator[Any]:
    with scratch_database(services["mongo_uri"]) as database:
        yield database


@pytest.fixture
def store(database: Any) -> FilterStore:
    return FilterStore(database)


def test_the_document_is_booms(store: FilterStore) -> None:
    added = store.add("bright", "ztf", BRIGHT, PUBLIC, description="for all", user_id="me", changelog="first")
    document = store.get("bright")
    assert document == store.get(added.filter_id)
    (version,) = document.pop("fv")
    created = document.pop("created_at")
    assert 2460000 < created == version.pop("created_at") == document.pop("updated_at")
    assert version == {"fid": added.fid, "pipeline": json.dumps(BRIGHT), "changelog": "first"}
    assert document == {
        "_id": added.filter_id,
        "name": "bright",
        "survey": "ZTF",
        "user_id": "me",
        "permissions": PUBLIC,
        "description": "for all",
        "active": False,
        "active_fid": added.fid,
    }


def test_a_new_filter_waits_until_it_is_switched_on(store: FilterStore) -> None:
    added = store.add("bright", "ZTF", BRIGHT, PUBLIC)
    assert store.load_active("ZTF") == []
    active = store.activate("bright")
    assert store.load_active("ZTF") == [active]
    assert active == Filter(added.filter_id, "bright", "ZTF", {"ZTF": (1,)}, added.fid, tuple(BRIGHT))
    assert store.load_active("LSST") == []
    store.deactivate("bright")
    assert store.load_active("ZTF") == []


def test_what_has_not_changed_is_not_validated_again(store: FilterStore) -> None:
    store.add("bright", "ZTF", BRIGHT, PUBLIC)
    store.activate("bright")
    (first,) = store.load_active("ZTF")
    assert store.load_active("ZTF")[0] is first
    store.add("bright", "ZTF", json.dumps(BRIGHTER))
    store.activate("bright")
    assert store.load_active("ZTF")[0].pipeline == tuple(BRIGHTER)


def test_a_version_is_added_and_the_active_one_stays(store: FilterStore) -> None:
    first = store.add("bright", "ZTF", BRIGHT, PUBLIC)
    store.activate("bright")
    second = store.add("bright", "ZTF", json.dumps(BRIGHTER))
    assert second.filter_id == first.filter_id
    assert [version["fid"] for version in store.get("bright")["fv"]] == [first.fid, second.fid]
    assert store.load_active("ZTF")[0].pipeline == tuple(BRIGHT)
    store.activate("bright")
    assert store.load_active("ZTF")[0].pipeline == tuple(BRIGHTER)
    store.activate(first.filter_id, first.fid)
    assert store.load_active("ZTF")[0].fid == first.fid


def test_what_was_translated_is_told(store: FilterStore) -> None:
    lookup = {"from": "ZTF_alerts_aux", "localField": "objectId", "foreignField": "_id", "as": "aux"}
    added = store.add("old", "ZTF", [{"$lookup": lookup}, *BRIGHT], PUBLIC)
    assert "stage 1: removed the $lookup" in added.changes[0]
    assert json.loads(store.get("old")["fv"][0]["pipeline"]) == BRIGHT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user_id": "another"}, "the name bright is taken by a filter of another survey or user"),
        ({"survey": "LSST", "permissions": None}, "the name bright is taken by a filter of another survey or user"),
        ({"permissions": {"ZTF": [1, 2, 3]}}, "filter bright has other permissions; versions share them"),
    ],
)
def test_a_name_belongs_to_one(store: FilterStore, changes: dict[str, Any], message: str) -> None:
    store.add("bright", "ZTF", BRIGHT, PUBLIC, user_id="me")
    before = store.get("bright")
    wanted: dict[str, Any] = {"survey": "ZTF", "permissions": PUBLIC, "user_id": "me"} | changes
    with pytest.raises(FilterError) as error:
        store.add("bright", wanted.pop("survey"), BRIGHTER, **wanted)
    assert message in str(error.value)
    assert store.get("bright") == before


def test_two_who_add_a_name_at_once(database: Any, store: FilterStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second did not see the first's when it looked; the index decides."""
    late = FilterStore(database)
    monkeypatch.setattr(late, "_filters", _Blind(database.filters))
    store.add("bright", "ZTF", BRIGHT, PUBLIC)
    with pytest.raises(FilterError, match="the name bright is taken"):
        late.add("bright", "ZTF", BRIGHTER, PUBLIC)
    assert len(store.list_all()) == 1


class _Blind:
    """A collection in which nothing is found."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def find_one(self, _: Any) -> None:
        """Find nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)


@pytest.mark.parametrize(
    ("name", "survey", "pipeline", "permissions", "message"),
    [
        ("a b", "ZTF", BRIGHT, PUBLIC, "name 'a b'"),
        ("a", "SDSS", BRIGHT, PUBLIC, "survey 'SDSS'"),
        ("a", "ZTF", BRIGHT, None, "needs permissions"),
        ("a", "ZTF", "[", PUBLIC, "not JSON"),
        ("a", "ZTF", [{"$out": "x"}, *BRIGHT], PUBLIC, "$out is not allowed"),
        ("a", "ZTF", [{"$addFields": {"x": {"$abs": [1, 2]}}}, *BRIGHT], PUBLIC, "MongoDB refuses the pipeline"),
        ("a", "ZTF", [{"$match": {"a": {"$regex": "("}}}, *BRIGHT], PUBLIC, "MongoDB refuses the pipeline"),
        ("a", "ZTF", [{"$addFields": {"x": "$$undefined"}}, *BRIGHT], PUBLIC, "MongoDB refuses the pipeline"),
        ("a", "ZTF", [{"$addFields": {"$x": 1}}, *BRIGHT], PUBLIC, "MongoDB refuses the pipeline"),
    ],
)
def test_what_is_refused_leaves_nothing(
    store: FilterStore, name: str, survey: str, pipeline: Any, permissions: Any, message: str
) -> None:
    with pytest.raises(FilterError) as error:
        store.add(name, survey, pipeline, permissions)
    assert message in str(error.value)
    assert store.list_all() == []


def test_a_filter_that_failed_is_off_until_it_is_switched_on_again(store: FilterStore) -> None:
    added = store.add("bright", "ZTF", BRIGHT, PUBLIC)
    store.activate("bright")
    store.suspend(added.filter_id, added.fid, "can't $divide by zero")
    assert store.load_active("ZTF") == []
    suspended = store.get("bright")["suspended"]
    assert (suspended["fid"], suspended["reason"]) == (added.fid, "can't $divide by zero")
    store.activate("bright")
    assert "suspended" not in store.get("bright")
    assert len(store.load_active("ZTF")) == 1


def test_a_failure_of_an_older_version_does_not_stop_the_newer(store: FilterStore) -> None:
    first = store.add("bright", "ZTF", BRIGHT, PUBLIC)
    second = store.add("bright", "ZTF", BRIGHTER)
    store.activate("bright")
    store.suspend(first.filter_id, first.fid, "too slow")
    assert [one.fid for one in store.load_active("ZTF")] == [second.fid]
    assert "suspended" not in store.get("bright")


def test_a_document_that_is_broken_costs_only_its_own(
    store: FilterStore, database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b", "c"):
        store.add(name, "ZTF", BRIGHT, PUBLIC)
        store.activate(name)
    database.filters.update_one({"name": "b"}, {"$set": {"fv.0.pipeline": '[{"$out": "ZTF_alerts"}]'}})
    database.filters.update_one({"name": "c"}, {"$set": {"permissions": {}}})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert [one.name for one in store.load_active("ZTF")] == ["a"]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, "once each, not at each reload"
    assert "filter 'b'" in told[0]
    assert "$out is not allowed" in told[0]
    assert "needs permissions" in told[1]


def test_of_two_with_one_name_the_topic_has_one(store: FilterStore, database: Any) -> None:
    for number in (1, 2):  # as another program may have stored them
        version = {"fid": f"v{number}", "pipeline": json.dumps(BRIGHT)}
        one = {"_id": str(number), "name": "same", "survey": "ZTF", "permissions": PUBLIC, "fv": [version]}
        database.filters.insert_one(one | {"active": True, "active_fid": version["fid"]})
    assert len(store.load_active("ZTF")) == 1


def test_filters_that_are_not_there_are_named(store: FilterStore) -> None:
    for act in (store.get, store.activate, store.deactivate):
        with pytest.raises(FilterError, match="no filter 'absent'"):
            act("absent")
    store.add("bright", "ZTF", BRIGHT, PUBLIC)
    with pytest.raises(FilterError, match="version 'v9' is not among its versions"):
        store.activate("bright", "v9")
    store.suspend("absent", "v1", "nothing happens")
    assert store.get("bright")["active"] is False


def test_filters_are_listed_by_name_and_survey(store: FilterStore) -> None:
    store.add("z", "ZTF", BRIGHT, PUBLIC)
    store.add("a", "LSST", BRIGHT)
    assert [document["name"] for document in store.list_all()] == ["a", "z"]
    assert [document["name"] for document in store.list_all("lsst")] == ["a"]
