"""A Faust table on RocksDB whose changelog is confirmed, ordered, and safe against frozen workers.

Differences from Faust's own: the delivery module sends a batch's changelog and waits for it; only then is the batch
written, all at once, so that RocksDB never has what the changelog lacks; every value starts with the offset of the
record that caused it, and recovery keeps the value with the greater one, so that what a worker wrote after it had been
replaced never wins; RocksDB keeps its options when a database is opened again, and all databases of a process share
one cache.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import faust
import rocksdict
from faust.stores import rocksdb

from boom_streams.errors import EXIT_RESTART, StoreError

__all__ = ["StateTable", "View", "source_key", "stored_items", "stored_partition"]

_OFFSET = struct.Struct(">q")
_SOURCE = b"\x00source:"
_CACHE_BYTES = 256 << 20


class View:
    """A table as one record sees it: reads through to RocksDB, collects the writes of its batch."""

    __slots__ = ("_early", "_offset", "_read", "_writes", "partition")

    def __init__(
        self,
        read: Callable[[bytes], bytes | None],
        writes: dict[bytes, tuple[int, bytes]],
        partition: int,
        offset: int,
        early: dict[bytes, bytes] | None = None,
    ) -> None:
        self.partition = partition
        self._read = read
        self._writes = writes
        self._early = {} if early is None else early
        self._offset = offset

    def get(self, key: bytes) -> bytes | None:
        """Value of a key, or None."""
        written = self._writes.get(key)
        return written[1] if written is not None else self._read(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key; the last put of a batch is also the last in the changelog."""
        self._writes.pop(key, None)
        self._writes[key] = (self._offset, value)

    def put_last(self, key: bytes, early: bytes | None = None) -> None:
        """Have the value that was put be the last of the batch in the changelog; ``early`` is the key's first there.

        A changelog may end anywhere within a batch: what moves from one key to another is written under both first.
        """
        self._writes[key] = self._writes.pop(key)
        if early is not None:
            self._early[key] = early


def source_key(topic: str) -> bytes:
    """Key under which a table keeps the id of a topic that it is made from; no other key begins like it."""
    return _SOURCE + topic.encode()


class StateTable(faust.Table[bytes, bytes]):
    """Table of bytes to bytes, partitioned as its source topic."""

    def _new_store_by_url(self, url: Any) -> _Store:
        return _Store(url, self.app, self, table_name=self.name, key_type=bytes, value_type=bytes, options={})

    def _store_of_bytes(self) -> _Store:
        return cast(_Store, self.data)

    def reader(self, partition: int) -> Callable[[bytes], bytes | None]:
        """Function that reads the value of a key from one partition."""
        try:
            read = self._store_of_bytes().database(partition).get
        except Exception as error:
            raise StoreError(f"table {self.name} cannot be opened: {error}") from error

        def get(key: bytes) -> bytes | None:
            try:
                value = read(key)
            except Exception as error:
                raise StoreError(f"table {self.name} cannot be read: {error}") from error
            return None if value is None else value[_OFFSET.size :]

        return get

    def logged(
        self, writes: Mapping[bytes, tuple[int, bytes]], early: Mapping[bytes, bytes]
    ) -> list[tuple[bytes, bytes]]:
        """Records for the changelog: early values, and then the writes in their order."""
        first = [(key, _OFFSET.pack(writes[key][0]) + value) for key, value in early.items()]
        return first + [(key, _OFFSET.pack(offset) + value) for key, (offset, value) in writes.items()]

    def apply(self, partition: int, writes: Mapping[bytes, tuple[int, bytes]], end: int) -> None:
        """Write to RocksDB what the changelog has; ``end`` is the offset of its last record, -1 if it is not known."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, (offset, value) in writes.items():
            batch.put(key, _OFFSET.pack(offset) + value)
        if end >= 0:
            batch.put(_Store.offset_key, b"%d" % end)
        try:
            self._store_of_bytes().database(partition).write(batch)
        except Exception as error:
            raise StoreError(f"table {self.name} cannot be written: {error}") from error


class _Options(rocksdb.RocksDBOptions):
    """RocksDB options for many small databases in one process."""

    def open(self, path: Path, *, read_only: bool = False) -> Any:
        options = self.as_options()
        return rocksdict.Rdict(
            str(path),
            options=options,
            column_families={"default": options},  # without it, options are lost on reopening
            access_type=rocksdict.AccessType.read_write(),
        )

    def as_options(self) -> Any:
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_open_files(256)
        options.set_write_buffer_size(16 << 20)
        options.set_max_write_buffer_number(3)
        options.set_max_total_wal_size(64 << 20)
        options.set_keep_log_file_num(2)
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        table = rocksdict.BlockBasedOptions()
        table.set_bloom_filter(10, block_based=False)
        table.set_block_cache(_shared_cache())
        options.set_block_based_table_factory(table)
        return options


@cache
def _shared_cache() -> Any:
    return rocksdict.Cache(_CACHE_BYTES)


class _Store(rocksdb.Store):
    """Faust's RocksDB store with our options and our rule for recovery."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rocksdb_options = _Options()

    def database(self, partition: int) -> Any:
        return self._db_for_partition(partition)

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Apply changelog records; of a key's values the one with the greater source offset stays."""
        try:
            by_partition: dict[int, list[Any]] = {}
            for event in batch:
                by_partition.setdefault(event.message.partition, []).append(event.message)
            for partition, messages in by_partition.items():
                self._apply(partition, messages)
        except Exception:  # Faust would log it, skip the records and go on
            self.log.critical("recovery of table %s failed", self.table_name, exc_info=True)
            os._exit(EXIT_RESTART)

    def _apply(self, partition: int, messages: list[Any]) -> None:
        database = self.database(partition)
        newest: dict[bytes, bytes] = {}
        for message in messages:
            if message.key is None or message.value is None:  # the mark of a transaction, whoever began it
                continue
            known = newest.get(message.key) or database.get(message.key)
            if known is None or message.value[: _OFFSET.size] >= known[: _OFFSET.size]:
                newest[message.key] = message.value
        writes = rocksdict.WriteBatch(raw_mode=True)
        for key, value in newest.items():
            writes.put(key, value)
        database.write(writes)
        last = messages[-1]
        self.set_persisted_offset(last.tp, max(m.offset for m in messages))


def stored_items(folder: Path, table: str) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values (without source offsets) of a table in a stopped worker's folder."""
    for path in sorted(folder.rglob(f"{table}-*.db")):
        yield from stored_partition(path)[1].items()


def stored_partition(path: Path) -> tuple[int, dict[bytes, bytes]]:
    """Database of one partition, of a stopped worker: changelog offset that it is at (-1: none), keys and values."""
    database = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
    try:
        items = cast(dict[bytes, bytes], dict(database.items()))
    finally:
        database.close()
    offset = int(items.pop(_Store.offset_key, b"-1"))
    return offset, {k: value[_OFFSET.size :] for k, value in items.items() if not k.startswith(_SOURCE)}
