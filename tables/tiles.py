"""Catalogue tiles at hand: in memory and in RocksDB, a cache of what the archive has.

This is no Faust table: a tile is the same for every partition and worker, so there is nothing to recover and no
changelog to keep; a lost cache is read again. The oldest tiles go when it is full, those of replaced versions among
them.
"""

from __future__ import annotations

import logging
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rocksdict

from boom_streams.crossmatch import Tile
from boom_streams.errors import StoreError

__all__ = ["Tiles"]

log = logging.getLogger(__name__)

#: Bytes of packed tiles in memory, and on disk.
MEMORY_BYTES, DISK_BYTES = 192 << 20, 8 << 30

#: Tiles that are read from the archive at once.
_AT_ONCE = 1000


class Tiles:
    """Tiles by key (``catalogue/version/tile``).

    Parameters
    ----------
    folder
        Of the RocksDB; opened at the first use, as only one process may have it open.
    read
        Reads packed tiles from the archive; those without sources are absent in what it returns. None: nobody knows.
    memory_bytes
        Most bytes of packed tiles in memory.
    """

    def __init__(
        self,
        folder: Path,
        read: Callable[[Sequence[str]], Mapping[str, bytes] | None],
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._folder = folder
        self._read = read
        self._limit = memory_bytes
        self._memory: OrderedDict[str, Tile | None] = OrderedDict()
        self._bytes = 0
        self._database: Any = None

    def get(self, keys: Iterable[str]) -> dict[str, Tile | None]:
        """Tiles; None where there are no sources. Those that are not at hand and cannot be read are absent.

        What ``read`` raises leaves the cache as it was.

        Raises
        ------
        StoreError
            If RocksDB fails.
        """
        found: dict[str, Tile | None] = {}
        missing = []
        for key in dict.fromkeys(keys):
            if key in self._memory:
                self._memory.move_to_end(key)
                found[key] = self._memory[key]
            else:
                missing.append(key)
        if missing:
            for key, data in self._packed(missing).items():
                found[key] = self._keep(key, data)
            self._forget()
        return found

    def close(self) -> None:
        """Close the RocksDB."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _packed(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Packed tiles from disk, and what is not there from the archive."""
        try:
            if self._database is None:
                self._database = _open_or_renew(self._folder)
            known = self._database.get([key.encode() for key in keys])
        except Exception as error:
            raise StoreError(f"the cache of catalogue tiles in {self._folder} cannot be read: {error}") from error
        packed = {key: data for key, data in zip(keys, known, strict=True) if data is not None}
        absent = [key for key in keys if key not in packed]
        for start in range(0, len(absent), _AT_ONCE):
            part = absent[start : start + _AT_ONCE]
            read = self._read(part)
            if read is None:
                break
            fresh = {**dict.fromkeys(part, b""), **read}
            self._write(fresh)
            packed |= fresh
        return packed

    def _write(self, tiles: Mapping[str, bytes]) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, data in tiles.items():
            batch.put(key.encode(), data)
        try:
            self._database.write(batch)
        except Exception as error:
            raise StoreError(f"the cache of catalogue tiles in {self._folder} cannot be written: {error}") from error

    def _keep(self, key: str, data: bytes) -> Tile | None:
        tile = Tile.unpack(data) if data else None
        self._memory[key] = tile
        self._bytes += _size(key, tile)
        return tile

    def _forget(self) -> None:
        """Let go of the tiles that have not been asked for the longest time."""
        while self._bytes > self._limit:
            key, tile = self._memory.popitem(last=False)
            self._bytes -= _size(key, tile)


def _size(key: str, tile: Tile | None) -> int:
    """Bytes in memory, about."""
    return 200 + len(key) + (0 if tile is None else tile.nbytes)


def _open_or_renew(folder: Path) -> Any:
    """Open the RocksDB; one that is damaged is only a cache, and begins anew."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        return rocksdict.Rdict(str(folder), options=_options(), column_families={"default": _options()})
    except Exception as error:
        if "lock" in str(error).lower() or not folder.is_dir():
            raise
        log.warning("the cache of catalogue tiles in %s is damaged and begins anew: %s", folder, error)
        shutil.rmtree(folder)
        return rocksdict.Rdict(str(folder), options=_options(), column_families={"default": _options()})


def _options() -> Any:
    """Options of a RocksDB whose oldest files go when it has grown too large."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_max_open_files(-1)  # FIFO compaction asks for it; a file is as large as the write buffer
    options.set_write_buffer_size(64 << 20)
    options.set_keep_log_file_num(2)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    options.set_compaction_style(rocksdict.DBCompactionStyle.fifo())
    fifo = rocksdict.FifoCompactOptions()
    fifo.max_table_files_size = DISK_BYTES
    options.set_fifo_compaction_options(fifo)
    table = rocksdict.BlockBasedOptions()
    table.set_bloom_filter(10, block_based=False)
    options.set_block_based_table_factory(table)
    return options
