"""The cache of catalogue tiles: memory, RocksDB, archive, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import bson
import pytest

from boom_streams.crossmatch import Tile, pack
from boom_streams.errors import StoreError
from boom_streams.tables.tiles import Tiles

PACKED = {f"GCVS/v1/{n}": pack([1.0 + n], [2.0], [bson.encode({"_id": n, "ra": 1.0 + n})]) for n in range(50)}


class Archive:
    """Remembers what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    def __call__(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read tiles."""
        if self.away:
            raise ConnectionError("away")
        self.asked += keys
        return {key: PACKED[key] for key in keys if key in PACKED}


def ids(tiles: Mapping[str, Tile | None]) -> dict[str, int | None]:
    return {key: bson.decode(tile.row(0))["_id"] if tile else None for key, tile in tiles.items()}


def test_a_tile_is_read_once(tmp_path: Path) -> None:
    archive = Archive()
    tiles = Tiles(tmp_path / "tiles", archive)
    keys = ["GCVS/v1/3", "GCVS/v1/3", "GCVS/v1/999", "GCVS/v1/4"]
    expected = {"GCVS/v1/3": 3, "GCVS/v1/999": None, "GCVS/v1/4": 4}
    assert ids(tiles.get(keys)) == expected
    assert sorted(archive.asked) == sorted(expected)
    archive.away = True
    assert ids(tiles.get(keys)) == expected, "from memory, that there is nothing in one of them too"
    tiles.close()
    again = Tiles(tmp_path / "tiles", archive)
    assert ids(again.get(keys)) == expected, "from disk"
    again.close()


def test_what_is_forgotten_comes_from_disk(tmp_path: Path) -> None:
    archive = Archive()
    tiles = Tiles(tmp_path / "tiles", archive, memory_bytes=1000)
    for _ in range(2):
        for key, number in ((key, int(key.rpartition("/")[2])) for key in PACKED):
            assert ids(tiles.get([key])) == {key: number}
    assert sorted(archive.asked) == sorted(PACKED)
    assert ids(tiles.get(PACKED)) == {key: int(key.rpartition("/")[2]) for key in PACKED}, "more than memory takes"
    tiles.close()


def test_an_archive_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    archive = Archive()
    archive.away = True
    tiles = Tiles(tmp_path / "tiles", archive)
    with pytest.raises(ConnectionError):
        tiles.get(["GCVS/v1/3"])
    archive.away = False
    assert ids(tiles.get(["GCVS/v1/3"])) == {"GCVS/v1/3": 3}
    tiles.close()


def test_a_disk_that_fails_is_said(tmp_path: Path) -> None:
    (tmp_path / "tiles").write_text("in the way")
    with pytest.raises(StoreError, match=r"the cache of catalogue tiles in .*tiles cannot be read"):
        Tiles(tmp_path / "tiles", Archive()).get(["GCVS/v1/3"])


def test_a_damaged_cache_begins_anew(tmp_path: Path) -> None:
    archive = Archive()
    tiles = Tiles(tmp_path / "tiles", archive)
    tiles.get(["GCVS/v1/3"])
    tiles.close()
    (tmp_path / "tiles" / "CURRENT").write_text("nonsense")
    again = Tiles(tmp_path / "tiles", archive)
    assert ids(again.get(["GCVS/v1/3"])) == {"GCVS/v1/3": 3}
    again.close()
    assert archive.asked == ["GCVS/v1/3", "GCVS/v1/3"]


def test_what_cannot_be_read_is_absent(tmp_path: Path) -> None:
    away = False
    archive = Archive()
    tiles = Tiles(tmp_path / "tiles", lambda keys: None if away else archive(keys))
    tiles.get(["GCVS/v1/3"])
    away = True
    assert ids(tiles.get(["GCVS/v1/3", "GCVS/v1/4"])) == {"GCVS/v1/3": 3}
    away = False
    assert ids(tiles.get(["GCVS/v1/3", "GCVS/v1/4"])) == {"GCVS/v1/3": 3, "GCVS/v1/4": 4}
    tiles.close()
