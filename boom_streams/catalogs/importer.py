"""Import of a catalogue: files into searchable documents and packed tiles.

1. Every file is opened and hashed; what is there already is not imported again.
2. Rows are read in batches: documents go to a staging collection, what a match shows to a sorter on disk, once for each
   tile that a disc of the search radius around the source touches.
3. Tiles are packed and written in their order.
4. The staging collection takes the place of the old one, and the version is put into use.
"""

from __future__ import annotations

import hashlib
import math
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pyarrow as pa
from pymongo.database import Database

from boom_streams.astro import sky, times
from boom_streams.catalogs.columns import Columns, choose, stored_type
from boom_streams.catalogs.reader import Source, open_source
from boom_streams.catalogs.rows import Rejected, Rows, read_rows
from boom_streams.catalogs.sorter import Sorter
from boom_streams.catalogs.writer import CatalogWriter
from boom_streams.crossmatch.description import Catalog
from boom_streams.crossmatch.store import CatalogStore
from boom_streams.crossmatch.tiles import pack
from boom_streams.errors import CatalogError

__all__ = ["Import", "Progress", "Report", "version_of"]

#: Number of the format of tiles and documents: another one makes another version of the same catalogue.
_FORMAT = 2

#: MongoDB stores documents up to 16 MiB.
_LARGEST_TILE = 15 << 20

#: Fewest rows that tell radians from degrees.
_ENOUGH = 20

_SOURCE = struct.Struct("<3d")

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class Report:
    """What an import has done.

    Attributes
    ----------
    rows
        Sources that were imported.
    """

    version: str
    columns: Columns
    already_there: bool = False
    rows: int = 0
    tiles: int = 0
    rejected: Rejected = field(default_factory=Rejected)


def version_of(catalog: Catalog, files: Sequence[Path], tell: Callable[[int], None] = lambda done: None) -> str:
    """Version of a catalogue: 12 hex digits that the description and the files' bytes determine."""
    digest = hashlib.sha256(f"{_FORMAT} {catalog.model_dump_json(exclude_none=True)}".encode())
    done = 0
    for path in files:
        digest.update(path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                done += len(chunk)
                tell(done)
    return digest.hexdigest()[:12]


@dataclass(slots=True)
class Import:
    """One import. `run` does it; whatever goes wrong, the version that was in use stays in use.

    Attributes
    ----------
    database, catalog, files, data_dir
        Where to, what, from which files in which order, and a folder for what is sorted on disk.
    max_rejected
        Most rows that may be rejected, percent.
    degrees
        Positions that look like radians are degrees.
    again
        Import although the version is in use.
    progress
        Is told how far it is.
    documents
        Make the searchable documents, too; else those of an earlier version stay. The stream needs the tiles alone.
        Repeated ids are found only with them.
    """

    database: Database[dict[str, Any]]
    catalog: Catalog
    files: Sequence[Path]
    data_dir: Path
    max_rejected: float = 1.0
    degrees: bool = False
    again: bool = False
    progress: Progress = lambda step, done, total: None
    documents: bool = True

    def run(self) -> Report:
        """Import the catalogue.

        Raises
        ------
        CatalogError
            If it cannot be imported as it is.
        """
        sources, columns = self._open()
        size = sum(source.size for source in sources)
        version = version_of(self.catalog, self.files, lambda done: self.progress("compare", done, size))
        report = Report(version, columns)
        if self._is_active(report.version) and not self.again:
            report.already_there = True
            return report
        writer = CatalogWriter(self.database, self.catalog.name, report.version)
        with Sorter(self.data_dir / "catalogs" / f"{self.catalog.name}.importing") as sorter:
            writer.begin()
            try:
                self._read(sources, report, writer, sorter)
                report.tiles = writer.write_tiles(self._pack(sorter))
            except CatalogError:
                writer.discard()
                raise
            except (bson.errors.BSONError, OverflowError, pa.ArrowException) as error:
                writer.discard()
                raise CatalogError(f"{self.catalog.name}: a value cannot be stored: {error}") from None
            writer.publish(self._facts(report), documents=self.documents)
        return report

    def _open(self) -> tuple[list[Source], Columns]:
        """Open all files, and check their columns."""
        if len(set(self.files)) < len(self.files):
            raise CatalogError(f"a file is named twice: {', '.join(map(str, self.files))}")
        exact = () if self.catalog.id is None else (self.catalog.id,)
        sources = [open_source(path, self._tell("open", path), exact) for path in self.files]
        columns = choose(self.catalog, sources)
        for source in sources:
            for name in columns.stored:
                if name in source.schema.names:
                    stored_type(source, name)
        return sources, columns

    def _tell(self, step: str, path: Path) -> Callable[[int], None]:
        """Tell how far all files are from how far one of them is."""
        sizes = {each: each.stat().st_size for each in self.files if each.is_file()}
        before = sum(sizes.get(each, 0) for each in self.files[: self.files.index(path)])
        total = sum(sizes.values())
        return lambda done: self.progress(step, before + done, total)

    def _is_active(self, version: str) -> bool:
        imported = CatalogStore(self.database).list_all()
        return any(each["_id"] == self.catalog.name and each["version"] == version for each in imported)

    def _read(self, sources: Sequence[Source], report: Report, writer: CatalogWriter, sorter: Sorter) -> None:
        """Read all rows into the staging collection and the sorter."""
        total, largest = 0, [0.0, 0.0]
        for source in sources:
            start = 0
            for batch in source.batches(self._tell("read", source.path)):
                rows = read_rows(
                    source, batch, report.columns, self.catalog, report.rejected, start=start, numbered_from=total
                )
                duplicate = writer.insert(rows.documents) if self.documents else None
                if duplicate is not None:
                    raise _duplicate(source, report.columns, rows, duplicate)
                sorter.add(_entries(self.catalog, rows, total - start))
                largest = [
                    max(most, float(np.abs(values).max(initial=0.0)))
                    for most, values in zip(largest, (rows.ra, rows.dec), strict=True)
                ]
                report.rows += len(rows.documents)
                start, total = start + batch.num_rows, total + batch.num_rows
        self._check(report, total, *largest)

    def _check(self, report: Report, total: int, ra: float, dec: float) -> None:
        """Refuse a catalogue that is hardly what was meant."""
        share = 100 * report.rejected.total / total if total else 0.0
        if share > self.max_rejected:
            raise CatalogError(
                f"{self.catalog.name}: {share:.3g} % of {total} rows would be rejected, more than "
                f"{self.max_rejected:g} % (--max-rejected); {report.rejected}"
            )
        if not report.rows:
            left = f"no rows are left to import; {report.rejected}" if total else "there are no rows to import"
            raise CatalogError(f"{', '.join(map(str, self.files))}: {left}")
        if not self.degrees and report.rows >= _ENOUGH and ra <= 2 * math.pi and dec <= math.pi / 2:
            raise CatalogError(
                f"{self.files[0]}: columns {report.columns.ra} and {report.columns.dec} look like radians (up to "
                f"{ra:.6g} and {dec:.6g} in {report.rows} rows); convert them to degrees, or say --degrees"
            )

    def _pack(self, sorter: Sorter) -> Iterator[tuple[int, bytes]]:
        """Pack the tiles in their order."""
        done = 0
        for tile, values in sorter.tiles():
            ra, dec, key = zip(*(_SOURCE.unpack_from(value) for value in values), strict=True)
            rows = [value[_SOURCE.size :] for value in values]
            data = pack(ra, dec, rows, None if self.catalog.distance_key is None else key)
            if len(data) > _LARGEST_TILE:
                raise CatalogError(
                    f"{self.catalog.name}: tile {tile} has {len(values)} sources in {len(data) >> 20} MiB, too "
                    f"many for a document; choose an order above {self.catalog.order} or a projection"
                )
            yield tile, data
            done += len(values)
            self.progress("tiles", done, sorter.count)

    def _facts(self, report: Report) -> dict[str, Any]:
        """What the collection `catalogs` says beside the versions."""
        columns = report.columns
        return {
            "description": self.catalog.model_dump(mode="json", exclude_none=True),
            "rows": report.rows,
            "tiles": report.tiles,
            "rejected": report.rejected.counts,
            "columns": {"ra": columns.ra, "dec": columns.dec, "_id": columns.id, "stored": list(columns.stored)},
            "files": [{"path": str(path), "size": path.stat().st_size} for path in self.files],
            "imported_at": times.julian_date(time.time() * 1000),
        }


def _entries(catalog: Catalog, rows: Rows, before: int) -> Iterator[tuple[int, int, bytes]]:
    """Each source, once for each tile that the disc of the search radius around it touches."""
    own = sky.cells(rows.ra, rows.dec, catalog.nside).tolist()
    around = sky.neighbour_cells(rows.ra, rows.dec, catalog.nside, catalog.radius)
    keys = rows.key if rows.key is not None else np.full(len(own), np.nan)
    values = zip(rows.ra, rows.dec, keys, rows.shown(catalog), strict=True)
    for place, tile, others, (ra, dec, key, shown) in zip(rows.places.tolist(), own, around, values, strict=True):
        value = _SOURCE.pack(ra, dec, key) + bson.encode(shown)
        for each in (tile, *others):
            yield each, before + place, value


def _duplicate(source: Source, columns: Columns, rows: Rows, at: int) -> CatalogError:
    place, identity = source.place(int(rows.places[at])), rows.documents[at]["_id"]
    return CatalogError(
        f"{place}: column {columns.id}: {identity!r} is there already; name a column that tells sources apart, as "
        'id = "…" in the description, or remove the repeated rows'
    )
