"""The collection of filters: versions, switching, suspension, and what workers load."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from boom_streams.errors import FilterError
from boom_streams.filters import Filter, FilterStore
from boom_streams.testing import scratch_database

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
        (
            {"permissions": {"ZTF": [1, 2, 3]}},
            "filter bright has permissions ZTF 1, not ZTF 1,2,3, and its versions share",
        ),
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
    store.suspend(store.activate("bright"), "can't $divide by zero", candid=123)
    assert store.load_active("ZTF") == []
    suspended = store.get("bright")["suspended"]
    assert (suspended["fid"], suspended["reason"]) == (added.fid, "can't $divide by zero")
    (told,) = store.problems()
    assert told.startswith("filter bright is suspended since 20")
    assert told.endswith("Z at alert 123: can't $divide by zero")
    store.activate("bright")
    assert "suspended" not in store.get("bright")
    assert len(store.load_active("ZTF")) == 1


def test_a_failure_of_an_older_version_does_not_stop_the_newer(store: FilterStore) -> None:
    first = store.add("bright", "ZTF", BRIGHT, PUBLIC)
    second = store.add("bright", "ZTF", BRIGHTER)
    older = store.activate("bright", first.fid)
    store.activate("bright")
    store.suspend(older, "too slow")
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
    store.suspend(Filter("absent", "absent", "ZTF", {}, "v1", (), key="absent"), "nothing happens")
    assert store.get("bright")["active"] is False


def test_filters_are_listed_by_name_and_survey(store: FilterStore) -> None:
    store.add("z", "ZTF", BRIGHT, PUBLIC)
    store.add("a", "LSST", BRIGHT)
    assert [document["name"] for document in store.list_all()] == ["a", "z"]
    assert [document["name"] for document in store.list_all("lsst")] == ["a"]


HOSTILE = {
    "invalid UTF-8": lambda raw: raw.replace(b"brighter", b"bright\xff\xfe"),
    "invalid UTF-8 in its id": lambda raw: raw.replace(b"the-id-of-b", b"the-id-of-\xff"),
    "no versions": lambda raw: bson.encode(bson.decode(raw) | {"fv": None}),
    "versions that are none": lambda raw: bson.encode(bson.decode(raw) | {"fv": [None, 1, "x"]}),
    "a list as name": lambda raw: bson.encode(bson.decode(raw) | {"name": ["b"]}),
    "permissions of no programme": lambda raw: bson.encode(bson.decode(raw) | {"permissions": {"ZTF": [[1], {}]}}),
    "a document as version": lambda raw: bson.encode(bson.decode(raw) | {"active_fid": {"$gt": ""}}),
    "no survey's name": lambda raw: bson.encode(bson.decode(raw) | {"survey": ["ZTF"]}),
    "a deep pipeline": lambda raw: bson.encode(
        bson.decode(raw) | {"fv": [{"fid": "v1", "pipeline": '[{"$match":' + '{"a":' * 5000 + "1" + "}" * 5000 + "}]"}]}
    ),
}


def document(name: str, **changes: Any) -> dict[str, Any]:
    """A filter's document as another program may have stored it."""
    version = {"fid": "v1", "pipeline": json.dumps(BRIGHT)}
    return {"_id": f"the-id-of-{name}", "name": name, "survey": "ZTF", "permissions": PUBLIC, "active": True,
            "active_fid": "v1", "fv": [version], "description": "brighter", **changes}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_document_that_no_program_should_have_stored_is_reported_and_the_others_run(
    store: FilterStore, database: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    database.filters.insert_many([document("a"), document("c")])
    broken = RawBSONDocument(HOSTILE[kind](bson.encode(document("b"))))
    database.filters.insert_one(broken)
    assert [one.name for one in store.load_active("ZTF")] == ["a", "c"]
    assert len(store.problems()) == 1
    assert store.problems()[0].startswith("left out: filter ")
    assert len(store.list_all()) == 3


def test_a_time_beyond_the_calendar_stops_nothing(store: FilterStore, database: Any) -> None:
    raw = bson.encode(document("b", updated_at=DatetimeMS(253402300800000)))
    database.filters.insert_one(RawBSONDocument(raw))
    assert [one.name for one in store.load_active("ZTF")] == ["b"]
    assert len(store.list_all()) == 1


@pytest.mark.parametrize(
    "key", [bson.ObjectId(b"123456789012"), 7, 2.5, None, b"x", {"a": 1}, DatetimeMS(253402300800000)], ids=str
)
def test_a_filter_with_any_id_runs_and_is_suspended_in_deed(store: FilterStore, database: Any, key: Any) -> None:
    database.filters.insert_one(document("b", _id=key))
    (found,) = store.load_active("ZTF")
    assert found.id == str(key)
    store.suspend(found, "too slow")
    assert store.load_active("ZTF") == []
    assert database.filters.find_one({"name": "b"}, {"active": 1, "_id": 0}) == {"active": False}
    store.activate("b")
    assert len(store.load_active("ZTF")) == 1
    store.deactivate("b")
    store.remove("b")
    assert store.list_all() == []


def test_an_id_that_is_no_text_names_its_filter(store: FilterStore, database: Any) -> None:
    key = bson.ObjectId(b"123456789012")
    database.filters.insert_many([document("a", _id=key), document("b", _id=17)])
    assert store.get(str(key))["name"] == "a"
    assert store.get("17")["name"] == "b"


def test_names_that_kafka_cannot_tell_apart_are_refused(store: FilterStore) -> None:
    store.add("my.sn_Ia", "ZTF", BRIGHT, PUBLIC)
    for name in ("my_sn_Ia", "my.sn.Ia", "my_sn.Ia"):
        with pytest.raises(FilterError, match="which Kafka does not tell apart"):
            store.add(name, "ZTF", BRIGHT, PUBLIC)
    for name in ("my-sn_Ia", "myXsn_Ia", "my.sn_ia", "my.sn_Ia2"):
        store.add(name, "ZTF", BRIGHT, PUBLIC)
    store.add("my.sn_Ia", "ZTF", BRIGHTER)
    assert len(store.get("my.sn_Ia")["fv"]) == 2


def test_a_filter_that_is_on_is_not_removed(store: FilterStore) -> None:
    store.add("bright", "ZTF", BRIGHT, PUBLIC)
    store.activate("bright")
    with pytest.raises(FilterError, match="switch it off first with `boom-streams filters deactivate bright`"):
        store.remove("bright")
    store.deactivate("bright")
    store.remove("bright")
    with pytest.raises(FilterError, match="no filter 'bright'"):
        store.remove("bright")
