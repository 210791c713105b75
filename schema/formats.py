"""Formats of all that this broker writes: their versions, and fingerprints of packed columns.

* Whatever is written says its version; what says none is of version 1, that of release 0.1.0
* Where columns are packed, a fingerprint says which: packed points of other columns would be read as nonsense
* What an earlier release wrote is read as if this one had (records and tables), or `boom-streams migrate` changes it
  (the archive); what a newer one wrote is refused: no record is to blame, and what one does not understand one must not
  change
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from boom_streams.errors import BadRecord, FormatError
from boom_streams.surveys import Survey
from boom_streams.surveys import packed_points as packed

__all__ = [
    "CELL",
    "CHUNK",
    "CLASSIFIED",
    "COLLECTIONS",
    "ENRICHED",
    "FILTERED",
    "FIRST",
    "HEAD",
    "LETTER",
    "MARGIN",
    "TILE",
    "UPGRADE",
    "Columns",
    "Format",
    "Packing",
    "fingerprint",
    "header",
    "packing",
    "read_header",
]

#: Columns of each series, in the order in which they are packed.
Columns: TypeAlias = Mapping[str, np.dtype[Any]]

#: The release whose formats said no fingerprint: what has version 1 has its columns.
FIRST = "0.1.0"

#: What helps against a newer format.
UPGRADE = "upgrade boom-streams here, or go back as docs/upgrades.md says"


@dataclass(frozen=True, slots=True)
class Format:
    """Of what kind something written is, and the version of it that this release writes."""

    name: str
    version: int

    def check(self, version: object) -> int:
        """Return a version that this release reads.

        Raises
        ------
        FormatError
            If it is newer.
        BadRecord
            If it is no version.
        """
        if not isinstance(version, int) or version < 1:
            raise BadRecord(f"{self.name} have no version {version!r}")
        if version > self.version:
            raise FormatError(
                f"{self.name} of version {version} were written by a newer release, this one knows versions up to "
                f"{self.version}; {UPGRADE}"
            )
        return int(version)


#: Records of topics.
MARGIN, ENRICHED, CLASSIFIED = Format("margin records", 1), Format("records", 2), Format("records", 2)
FILTERED, LETTER = Format("filtered records", 1), Format("dead letters", 1)

#: Values of tables, and packed tiles of catalogues.
CELL, TILE = Format("values of table cells", 2), Format("tiles of catalogues", 2)
HEAD, CHUNK = Format("heads of table objects", 1), Format("points of table objects", 2)

#: Collections by kind: of those that each survey has, what follows its name.
COLLECTIONS: Mapping[str, Format] = {
    name: Format(name, version)
    for name, version in {
        "alerts": 1,
        "alerts_aux": 2,
        "alerts_cutouts": 1,
        "filter_matches": 1,
        "filters": 1,
        "catalogs": 1,
        "catalog_tiles": 1,
    }.items()
}


def fingerprint(columns: Columns) -> str:
    """Eight hexadecimal digits that tell packed columns from others: names, types and order count."""
    described = [[name, [list(column) for column in dtype.descr]] for name, dtype in columns.items()]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:8]


@dataclass(frozen=True, eq=False)
class Packing:
    """How the light curves of a survey are packed, by this release and by earlier ones.

    Attributes
    ----------
    mark
        Fingerprint of `columns`.
    earlier
        Columns of earlier releases, by their fingerprint.
    first
        Columns of release `FIRST`; None: it did not know the survey.
    header
        What a table's value with packed light curves begins with.
    """

    survey: str
    columns: Columns
    mark: str
    earlier: Mapping[str, Columns]
    first: Columns | None
    header: bytes

    def of(self, mark: str | None) -> Columns:
        """Columns that a fingerprint stands for; None: none was said.

        Raises
        ------
        FormatError
            If this release does not know them.
        """
        if mark is None and self.first is not None:
            return self.first
        if mark == self.mark:
            return self.columns
        if mark is not None and mark in self.earlier:
            return self.earlier[mark]
        raise FormatError(
            f"light curves of {self.survey} with columns {mark} were written by a newer release, this one knows "
            f"{', '.join([self.mark, *self.earlier])}; {UPGRADE}"
        )

    def convert(self, series: Mapping[str, bytes], mark: str | None) -> dict[str, bytes]:
        """Pack points as this release does, whichever columns they were packed with; series that are gone are left."""
        known = self.of(mark)
        return {
            name: packed.convert(packed.loads(data, known[name]), self.columns[name]).tobytes()
            for name, data in series.items()
            if name in self.columns
        }


@lru_cache(maxsize=64)
def packing(survey: Survey) -> Packing:
    """How the light curves of a survey are packed."""
    columns = {name: series.dtype for name, series in survey.series.items()}
    earlier = {fingerprint(known): known for known in survey.earlier.values()}
    mark = fingerprint(columns)
    earlier.pop(mark, None)
    return Packing(survey.name, columns, mark, earlier, survey.earlier.get(FIRST), header(CHUNK, mark))


def header(of: Format, mark: str) -> bytes:
    """First bytes of a table's value with packed columns: the version in one, the fingerprint in four."""
    return bytes([of.version]) + bytes.fromhex(mark)


def read_header(of: Format, value: bytes) -> tuple[str | None, int]:
    """Fingerprint of the packed columns of a table's value, and where its content begins.

    Raises
    ------
    FormatError
        If a newer release wrote it.
    """
    if of.check(value[0]) == 1:
        return None, 1
    return value[1:5].hex(), 5
