"""The chaos test's comparisons see what they must see."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from boom_streams.archive import mongo
from tests.chaos import compare
from tests.chaos.compare import Outcome, Row
from tests.chaos.log import RawLog


def outcome(**changes: Any) -> Outcome:
    """Topics of a run on a log of two alerts and one record that is none."""
    topics = {
        "enriched": {1: Counter(["a"]), 2: Counter(["b"])},
        "classified": {1: Counter(["c"]), 2: Counter(["d"])},
        "filtered": {1: Counter(["e"])},
    }
    return Outcome(topics | changes.pop("topics", {}), changes.pop("sources", Counter()), Counter({("no alert",): 1}))


LOG = RawLog(copies=Counter({1: 1, 2: 1}), junk=1)


def wrong(rows: Any) -> list[str]:
    return [row.what for row in rows if row.count]


def test_equal_runs_are_equal() -> None:
    assert wrong(compare.compare(LOG, outcome(), outcome())) == []


def test_what_came_twice_is_no_difference() -> None:
    twice = outcome(topics={"enriched": {1: Counter(["a", "a"]), 2: Counter(["b"])}}, sources=Counter({b"0:0": 2}))
    assert wrong(compare.compare(LOG, outcome(), twice)) == []
    assert twice.redelivered(LOG) == {"enrich": 1, "classify": 1, "filter": 0}


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ({1: Counter(["a"])}, ["alerts in enriched", "alerts of the log in enriched"]),
        ({1: Counter(["a", "other"]), 2: Counter(["b"])}, ["alerts in enriched"]),
        ({1: Counter(["other"]), 2: Counter(["b"])}, ["alerts in enriched"]),
        (
            {1: Counter(["a"]), 2: Counter(["b"]), 3: Counter(["x"])},
            ["alerts in enriched", "alerts of the log in enriched"],
        ),
    ],
    ids=["missing", "repeated with other bytes", "other bytes", "not in the log"],
)
def test_a_difference_in_a_topic_is_seen(values: dict[int, Counter[str]], rows: list[str]) -> None:
    assert wrong(compare.compare(LOG, outcome(), outcome(topics={"enriched": values}))) == rows


def test_a_dead_letter_too_many_is_seen() -> None:
    other = outcome()
    other.dead[("another",)] += 1
    assert wrong(compare.compare(LOG, outcome(), other)) == ["dead letters"]


def test_a_difference_in_a_collection_is_seen(make_settings: Any) -> None:
    one, other = make_settings(), make_settings()
    documents = [{"_id": n, "list": [{"x": n}, {"x": n}]} for n in range(4)]
    for settings in (one, other):
        mongo.database(settings)["ZTF_alerts"].insert_many(documents)
    assert wrong(compare.compare_collections(one, other)) == []
    mongo.database(other)["ZTF_alerts"].update_one({"_id": 1}, {"$set": {"list.1.x": 9}})
    mongo.database(other)["ZTF_alerts"].delete_one({"_id": 2})
    (row,) = compare.compare_collections(one, other)
    assert row.differences == ["2 is only in the run without faults", "1: list[1].x is 9, without faults 1"]


def test_a_difference_in_a_table_is_seen() -> None:
    table = {(0, b"a"): b"1", (1, b"a"): b"2"}
    assert compare.compare_tables("table", table, dict(table)) == Row("table", 2, 2)
    assert compare.compare_tables("table", table, {(0, b"a"): b"1"}).count == 1
    assert compare.compare_tables("table", table, table | {(1, b"a"): b"3"}).count == 1
