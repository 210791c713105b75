"""Which columns of a file are the position and the name of a source, and which can be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from boom_streams.catalogs.reader import USUAL_IDS, Source
from boom_streams.crossmatch.description import Catalog
from boom_streams.errors import CatalogError

__all__ = ["Columns", "choose", "guess_id", "guess_position", "stored_type"]

#: Usual names of right ascension and declination, lower case; the first pair of numbers is taken.
_POSITIONS = (
    ("ra", "dec"),
    ("ra_deg", "dec_deg"),
    ("radeg", "dedeg"),
    ("radeg", "decdeg"),
    ("_raj2000", "_dej2000"),
    ("raj2000", "dej2000"),
    ("ra_icrs", "de_icrs"),
    ("ra_icrs", "dec_icrs"),
    ("_ra", "_de"),
    ("_ra_icrs", "_de_icrs"),
    ("ra_j2000", "dec_j2000"),
    ("raj2000", "decj2000"),
    ("ramean", "decmean"),
    ("rastack", "decstack"),
    ("target_ra", "target_dec"),
    ("mean_fiber_ra", "mean_fiber_dec"),
    ("objra", "objdec"),
    ("alpha_j2000", "delta_j2000"),
    ("right_ascension", "declination"),
)

_UCDS = ("pos.eq.ra;meta.main", "pos.eq.dec;meta.main")

#: How files write degrees.
_DEGREES = ("", "deg", "degree", "degrees", "angle[deg]")

_PLAIN = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_null,
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_struct,
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a catalogue's files.

    Attributes
    ----------
    id
        None: sources are numbered by their rows.
    stored
        All that have a name, in the order of the first file.
    """

    ra: str
    dec: str
    id: str | None
    stored: tuple[str, ...]

    def __str__(self) -> str:
        """Say which columns were chosen, for a person."""
        return f"position {self.ra}, {self.dec}; _id {self.id or 'from the number of the row'}"


def choose(catalog: Catalog, sources: Sequence[Source]) -> Columns:
    """Choose the columns: those that the description names, else those with usual names.

    Raises
    ------
    CatalogError
        If there is no position in degrees, or a file lacks a column that is needed.
    """
    first = sources[0]
    position = (catalog.ra, catalog.dec) if catalog.ra and catalog.dec else guess_position(first)
    if position is None:
        raise CatalogError(
            f"{first.path}: no columns look like a position; name them in the description of {catalog.name}, "
            f'as ra = "…" and dec = "…". The columns are {", ".join(first.schema.names)}'
        )
    identity = catalog.id or guess_id(first)
    needed = [*position, identity, catalog.distance_key, *catalog.projection]
    for source in sources:
        for name in needed:
            if name is not None and name not in source.schema.names:
                raise CatalogError(
                    f"{source.path}: there is no column {name}, which the description of {catalog.name} "
                    f"or the first file has; the columns are {', '.join(source.schema.names)}"
                )
        _check_position(source, position)
        _check_kinds(source, identity, catalog.distance_key)
    return Columns(*position, identity, tuple(name for name in first.schema.names if name))


def guess_position(source: Source) -> tuple[str, str] | None:
    """Names of the columns with right ascension and declination, or None; columns of numbers go before texts."""
    by_ucd = {about.get("ucd", "").lower(): name for name, about in source.metadata.items()}
    if all(ucd in by_ucd for ucd in _UCDS):
        return by_ucd[_UCDS[0]], by_ucd[_UCDS[1]]
    names = {name.lower(): name for name in reversed(source.schema.names)}
    pairs = [(names[ra], names[dec]) for ra, dec in _POSITIONS if ra in names and dec in names]
    numbers = [pair for pair in pairs if all(_is_number(source, name) for name in pair)]
    return next(iter(numbers or pairs), None)


def guess_id(source: Source) -> str | None:
    """Name of the column that tells sources apart, or None."""
    names = {name.lower(): name for name in reversed(source.schema.names)}
    return next((names[name] for name in USUAL_IDS if name in names and _is_identity(source, names[name])), None)


def stored_type(source: Source, name: str) -> pa.DataType:
    """Type in which a column is stored: one that BSON has.

    Raises
    ------
    CatalogError
        If it has no such type.
    """
    kind = source.schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ms", kind.tz)
    if pa.types.is_date(kind):
        return pa.timestamp("ms")
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_time(kind):
        return pa.string()
    if kind == pa.uint64():
        return pa.int64()
    if any(test(kind) for test in _PLAIN):
        return kind
    raise CatalogError(f"{source.path}: column {name} holds {kind}, which cannot be stored; convert or remove it")


def _check_position(source: Source, position: tuple[str, str]) -> None:
    for name in position:
        if not _is_number(source, name):
            row, value = _first_value(source, name)
            raise CatalogError(
                f"{source.place(row)}: column {name} holds text ({value!r}); positions must be decimal degrees. "
                'Convert it, or name other columns in the description, as ra = "…" and dec = "…"'
            )
        unit = source.metadata.get(name, {}).get("unit", "").lower()
        if unit not in _DEGREES:
            raise CatalogError(f"{source.path}: column {name} is in {unit}; positions must be decimal degrees")


def _check_kinds(source: Source, identity: str | None, distance_key: str | None) -> None:
    if identity is not None and not _is_identity(source, identity):
        raise CatalogError(
            f"{source.path}: column {identity} holds {source.schema.field(identity).type}; "
            "the column that tells sources apart must hold integers or texts"
        )
    if distance_key is not None and not _is_number(source, distance_key):
        kind = source.schema.field(distance_key).type
        raise CatalogError(f"{source.path}: column {distance_key}, the distance_key, holds {kind}, not numbers")


def _is_number(source: Source, name: str) -> bool:
    kind = source.schema.field(name).type
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    )


def _is_identity(source: Source, name: str) -> bool:
    kind = source.schema.field(name).type
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _first_value(source: Source, name: str) -> tuple[int, object]:
    """First value of a column that is no number, and its row."""
    at = 0
    for batch in source.batches():
        for row, value in enumerate(batch.column(name).to_pylist(), at):
            if value is not None and not _reads_as_number(str(value)):
                return row, str(value)
        at += batch.num_rows
    return 0, ""


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
