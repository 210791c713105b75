"""The six catalogues around the night's objects: made once, imported as an operator would, and what a match costs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from boom_streams.archive import mongo
from boom_streams.catalogs.importer import Import
from boom_streams.crossmatch import CatalogStore, Crossmatcher, load_descriptions
from boom_streams.errors import BoomError
from boom_streams.settings import Settings
from boom_streams.tables.tiles import Tiles

__all__ = ["FACTOR", "Crossmatch", "copy", "crossmatch", "load", "make"]

#: Times the rows of the larger catalogues.
FACTOR = 10

_BATCH = 500
_REPEATS = 3
_SEED = 11


@dataclass(frozen=True, slots=True)
class Crossmatch:
    """CPU microseconds an alert of matching with every catalogue.

    Attributes
    ----------
    rows
        Sources in all catalogues.
    cold, warm
        When the tiles come from the archive, and when they are in memory.
    """

    rows: int
    cold: float
    warm: float


def make(night: Path, script: Path, factor: int = 1) -> Path:
    """Make the catalogues for a night's folder with ``make_catalogs.py``, unless they are beside it.

    With a factor, each has so many times the sources: copies with the positions of others.
    """
    folder = night.with_name(f"{night.name}-catalogs" + (f"-{factor}" if factor > 1 else ""))
    if folder.is_dir():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    if factor > 1:
        for file in sorted(make(night, script).glob("*.parquet")):
            pq.write_table(_larger(pq.read_table(file), factor), partial / file.name)
    else:
        command = [sys.executable, str(script), str(night), str(partial), str(_SEED)]
        done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise BoomError(f"{script.name} failed: {done.stdout.strip()[-500:]}")
    partial.rename(folder)
    return folder


def load(settings: Settings, folder: Path, say: Callable[[str], None]) -> None:
    """Import every catalogue of a folder; only what the stream needs of it."""
    descriptions = load_descriptions(settings.catalogs_dir).catalogs
    for file in sorted(folder.glob("*.parquet")):
        say(f"importing {file.stem}")
        Import(mongo.database(settings), descriptions[file.stem], [file], settings.data_dir, documents=False).run()


def copy(source: Settings, target: Settings) -> None:
    """Give another broker the catalogues of one."""
    database = mongo.database(source)
    for name in ("catalog_tiles", "catalogs"):
        database[name].aggregate([{"$out": {"db": target.mongo_db, "coll": name}}])


def crossmatch(settings: Settings, positions: Sequence[tuple[float, float]], folder: Path) -> Crossmatch:
    """Measure matching alone, in batches as the stage has them."""
    store = CatalogStore(mongo.database(settings))
    matcher = Crossmatcher(
        store, load_descriptions(settings.catalogs_dir).catalogs, mongo.Patience(5.0, "benchmark", lambda: None), 3600.0
    )
    tiles = Tiles(folder / "tiles", matcher.read)
    rows = sum(each["rows"] for each in mongo.database(settings)["catalogs"].find())
    try:
        times = [_pass(matcher, tiles, positions) for _ in range(1 + _REPEATS)]
    finally:
        tiles.close()
    return Crossmatch(rows, times[0], min(times[1:]))


def _pass(matcher: Crossmatcher, tiles: Tiles, positions: Sequence[tuple[float, float]]) -> float:
    start = time.process_time()
    for batch in _batches(positions):
        ra, dec = zip(*batch, strict=True)
        matcher.match("ZTF", ra, dec, tiles.get)
    return (time.process_time() - start) * 1e6 / len(positions)


def _batches(positions: Sequence[tuple[float, float]]) -> Iterator[Sequence[tuple[float, float]]]:
    return (positions[start : start + _BATCH] for start in range(0, len(positions), _BATCH))


def _larger(table: pa.Table, factor: int) -> pa.Table:
    """Copies of all rows under new ids, at places that mix the right ascensions and declinations of the sources."""
    chance = np.random.default_rng(_SEED)
    copies = [table]
    for number in range(1, factor):
        changed = table
        for name in ("ra", "dec"):
            changed = _with(changed, name, pa.array(chance.permutation(table[name].to_numpy())))
        ids = table["_id"].to_pylist()
        new = [f"{each}_{number}" if isinstance(each, str) else each + number for each in ids]
        copies.append(_with(changed, "_id", pa.array(new)))
    return pa.concat_tables(copies)


def _with(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
