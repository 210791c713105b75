"""The tables on a real RocksDB: views, writing, recovery from a changelog, options."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import faust
import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from boom_streams.tables.store import StateTable, View, stored_items

CHANGELOG = "objects-changelog"


class Message(NamedTuple):
    """A record of the changelog."""

    partition: int
    offset: int
    key: bytes
    value: bytes

    @property
    def tp(self) -> TP:
        """Where it lies."""
        return TP(CHANGELOG, self.partition)


class Event(NamedTuple):
    """What Faust's recovery gives to a store."""

    message: Message


Open = Callable[[], StateTable]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Open the table of a worker in a folder; a second time as after a restart."""
    tables: list[StateTable] = []

    def close() -> None:
        for table in tables:
            for database in table.data._dbs.values():
                database.close()
            table.data._dbs.clear()

    def make() -> StateTable:
        close()
        app = faust.App(
            "stored", broker="aiokafka://localhost:1", store="rocksdb://", datadir=tmp_path, web_enabled=False
        )
        topic = app.topic(CHANGELOG, key_type=bytes, value_type=bytes, partitions=4)
        options = {"partitions": 4, "changelog_topic": topic, "key_type": bytes, "value_type": bytes}
        tables.append(StateTable(app, name="objects", **options))
        return tables[-1]

    yield make
    close()


def recover(table: StateTable, messages: Sequence[Message]) -> None:
    table.data.apply_changelog_batch([Event(message) for message in messages], bytes, bytes)


def logged(offset: int, value: bytes) -> bytes:
    return struct.pack(">q", offset) + value


def view(table: StateTable, writes: dict[bytes, tuple[int, bytes]], offset: int, partition: int = 0) -> View:
    return View(table.reader(partition), writes, partition, offset)


def test_a_view_reads_what_the_batch_wrote_before(opened: Open) -> None:
    table = opened()
    table.apply(0, {b"old": (1, b"stored")}, -1)
    writes: dict[bytes, tuple[int, bytes]] = {}
    first, second = view(table, writes, 7), view(table, writes, 8)
    assert (first.get(b"old"), first.get(b"new")) == (b"stored", None)
    first.put(b"new", b"1")
    first.put(b"old", b"2")
    second.put(b"new", b"3")
    assert (first.get(b"new"), second.get(b"old")) == (b"3", b"2")
    assert list(writes.items()) == [(b"old", (7, b"2")), (b"new", (8, b"3"))], "in the order of the last puts"
    assert table.reader(0)(b"new") is None, "nothing is written yet"


def test_writes_go_to_their_partition_and_to_the_changelog(opened: Open) -> None:
    table = opened()
    writes = {b"a": (3, b"x"), b"b": (2**40, b"")}
    assert table.logged(writes, {}) == [(b"a", logged(3, b"x")), (b"b", logged(2**40, b""))]
    assert table.logged(writes, {b"b": b"early"})[:2] == [(b"b", logged(2**40, b"early")), (b"a", logged(3, b"x"))]
    table.apply(1, writes, -1)
    assert [table.reader(partition)(b"a") for partition in (0, 1)] == [None, b"x"]
    assert table.reader(1)(b"b") == b""


def test_the_checkpoint_is_kept(opened: Open) -> None:
    table = opened()
    tp = TP(table.changelog_topic_name, 2)
    assert table.data.persisted_offset(tp) is None
    table.apply(2, {}, 41)
    assert opened().data.persisted_offset(tp) == 41


def test_recovery_keeps_the_value_of_the_greater_source_offset(opened: Open) -> None:
    table = opened()
    table.apply(0, {b"known": (5, b"mine"), b"older": (5, b"mine")}, -1)
    recover(
        table,
        [
            Message(0, 10, b"known", logged(4, b"of a worker that was replaced")),
            Message(0, 11, b"older", logged(6, b"newer")),
            Message(0, 12, b"fresh", logged(9, b"first")),
            Message(0, 13, b"fresh", logged(8, b"frozen")),
            Message(3, 7, b"fresh", logged(1, b"of another partition")),
        ],
    )
    found = {key: table.reader(0)(key) for key in (b"known", b"older", b"fresh")}
    assert found == {b"known": b"mine", b"older": b"newer", b"fresh": b"first"}
    assert table.reader(3)(b"fresh") == b"of another partition"
    assert [table.data.persisted_offset(TP(CHANGELOG, partition)) for partition in (0, 3)] == [13, 7]


def test_of_one_source_offset_the_later_value_stays(opened: Open) -> None:
    """A record that is handled again writes again, with what became known since."""
    table = opened()
    recover(table, [Message(0, 1, b"k", logged(5, b"a")), Message(0, 2, b"k", logged(5, b"b"))])
    recover(table, [Message(0, 3, b"k", logged(5, b"c"))])
    assert table.reader(0)(b"k") == b"c"


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 300)), max_size=12),
    st.lists(st.integers(0, 12), max_size=3),
)
@settings(deadline=None, max_examples=40)
def test_recovery_in_any_batches(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    messages = [Message(0, index, key, logged(offset, b"%d" % index)) for index, (key, offset) in enumerate(records)]
    app = faust.App("any", broker="aiokafka://", store="rocksdb://", datadir=tmp_path_factory.mktemp("any"))
    table = StateTable(app, name="objects", partitions=1, key_type=bytes, value_type=bytes)
    bounds = sorted({0, *(min(cut, len(messages)) for cut in cuts), len(messages)})
    for a, b in itertools.pairwise(bounds):
        recover(table, messages[a:b])
    for key in (b"a", b"b"):
        mine = [(offset, index) for index, (name, offset) in enumerate(records) if name == key]
        expected = b"%d" % max(mine)[1] if mine else None
        assert table.reader(0)(key) == expected
    table.data._db_for_partition(0).close()


def test_a_failing_recovery_ends_the_process(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust would skip the records, and the table would lack them for ever."""
    table = opened()
    monkeypatch.setattr("os._exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    with pytest.raises(SystemExit) as ended:
        recover(table, [Message(0, 1, b"k", 5)])  # type: ignore[arg-type]
    assert ended.value.code == 70


def test_options_are_kept_on_reopening(opened: Open, tmp_path: Path) -> None:
    for number in range(3):
        opened().apply(0, {b"k%d" % number: (number, b"x")}, -1)
        newest = max(tmp_path.rglob("objects-0.db/OPTIONS-*"), key=lambda path: int(path.name[8:]))
        text = newest.read_text()
        wanted = ("write_buffer_size=16777216", "compression=kLZ4Compression", "filter_policy=bloomfilter")
        assert [option for option in wanted if option not in text] == [], f"opened {number + 1} times"
        assert "max_open_files=256" in text


def test_stored_items(opened: Open, tmp_path: Path) -> None:
    table = opened()
    table.apply(0, {b"a": (1, b"x")}, 5)
    table.apply(3, {b"b": (2, b"y")}, -1)
    opened()  # closes the first
    assert sorted(stored_items(tmp_path, "objects")) == [(b"a", b"x"), (b"b", b"y")]
    assert list(stored_items(tmp_path, "cells")) == []
