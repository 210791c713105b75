"""Sorting more rows than fit into memory: a RocksDB of its own, for the time of an import."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import rocksdict

from boom_streams.errors import CatalogError

__all__ = ["Sorter"]

#: Tile and row, big-endian, so that keys are in the order of numbers.
_KEY = struct.Struct(">QQ")


class Sorter:
    """Values by tile and row, on disk. Used in a ``with`` block, at whose end the folder is removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unlogged = cast(Any, rocksdict.WriteOptions())
        self._unlogged.disable_wal = True  # a crash means to import again
        self.count = 0

    def __enter__(self) -> Sorter:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            rocksdict.Rdict.destroy(str(self._folder), _options())
            self._database: Any = rocksdict.Rdict(str(self._folder), options=_options())
        except Exception as error:
            if "lock" not in str(error).lower():
                raise
            raise CatalogError(f"another import works in {self._folder}; wait until it has ended") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()
        rocksdict.Rdict.destroy(str(self._folder), _options())

    def add(self, entries: Iterable[tuple[int, int, bytes]]) -> None:
        """Add values, each with its tile and its row."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for tile, row, value in entries:
            batch.put(_KEY.pack(tile, row), value)
            self.count += 1
        self._database.write(batch, self._unlogged)

    def tiles(self) -> Iterator[tuple[int, list[bytes]]]:
        """Yield each tile with its values, in the order of tiles and rows."""
        items = cast(Iterator[tuple[bytes, bytes]], self._database.items())
        for tile, group in itertools.groupby(items, key=lambda item: item[0][:8]):
            yield int.from_bytes(tile, "big"), [value for _, value in group]


def _options() -> Any:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(64 << 20)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    options.set_max_open_files(256)
    return options
