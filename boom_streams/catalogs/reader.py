"""Files of catalogues, read in batches: Parquet, FITS, CSV, and CSV in gzip."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from boom_streams.catalogs.csv_files import MOST_COLUMNS, csv_batches, csv_schema
from boom_streams.catalogs.fits_files import fits_batches, fits_schema
from boom_streams.errors import CatalogError

__all__ = ["USUAL_IDS", "Source", "check_format", "open_source"]

#: Rows at once.
_ROWS = 20_000

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".fits": "fits",
    ".fit": "fits",
    ".fits.gz": "fits",
    ".csv": "csv",
    ".csv.gz": "csv",
}

#: Usual names of a source's identifier, lower case; the first that holds integers or texts is taken.
USUAL_IDS = ("_id", "objid", "source_id", "id", "objectid", "obj_id", "object_id", "sourceid", "targetid", "ls_id")

#: What astropy adds to the name of a column for the one that says where it has no values.
_MASK = ".mask"

#: Tells how many bytes of a file have been read.
Tell = Callable[[int], None]


def _silent(_: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a catalogue, whose columns are known.

    Attributes
    ----------
    metadata
        What the file says of its columns: ``unit`` and ``ucd``, where it does.
    """

    path: Path
    schema: pa.Schema
    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Size of the file, bytes."""
        return self.path.stat().st_size

    @property
    def is_csv(self) -> bool:
        """Whether the file is text."""
        return _format(self.path) == "csv"

    def place(self, row: int) -> str:
        """Where a row is, for a person; rows count from 0."""
        return f"{self.path}, line {row + 2}" if self.is_csv else f"{self.path}, row {row + 1}"

    def batches(self, tell: Tell = _silent) -> Iterator[pa.RecordBatch]:
        """Yield the rows in their order; `CatalogError` where the file cannot be read on."""
        with _readable(self.path):
            match _format(self.path):
                case "csv":
                    yield from csv_batches(self.path, self.schema, tell)
                case "fits":
                    yield from fits_batches(self.path, self.schema, tell)
                case _:
                    yield from _parquet_batches(self.path, self.schema, tell)


def open_source(path: Path, tell: Tell = _silent, exact: Collection[str] = ()) -> Source:
    """Find the columns of a file; a CSV file is read to its end for that.

    Parameters
    ----------
    path
        The file.
    tell
        Is told how many bytes have been read.
    exact
        Columns that tell sources apart, beside those with usual names: in a CSV file they are read as integers, or as
        texts as they stand.

    Raises
    ------
    CatalogError
        If the format is unknown, the file cannot be read, there are very many columns, or two have the same name.
    """
    with _readable(path):
        match _format(path):
            case "csv":
                source = Source(path, csv_schema(path, {*USUAL_IDS, *(name.lower() for name in exact)}, tell))
            case "fits":
                source = Source(path, *fits_schema(path))
            case _:
                with pa.parquet.ParquetFile(path) as file:
                    source = Source(path, _for_people(file.schema_arrow), _column_metadata(file.schema_arrow))
    names = source.schema.names
    if len(names) > MOST_COLUMNS:
        raise CatalogError(f"{path}: a catalogue may not have more than {MOST_COLUMNS} columns; this has {len(names)}")
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise CatalogError(f"{path}: there are several columns {', '.join(repeated)}; rename them")
    return source


def check_format(path: Path) -> None:
    """Check the ending of a file's name.

    Raises
    ------
    CatalogError
        If it is of no format that can be read.
    """
    _format(path)


def _format(path: Path) -> str:
    for ending, kind in _FORMATS.items():
        if path.name.lower().endswith(ending):
            return kind
    raise CatalogError(
        f"{path}: unknown format; known are {', '.join(_FORMATS)} (astropy's Table.read(…).write(…) converts others)"
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Name the file in what pyarrow says of one that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise CatalogError(f"{path}: there is no such file") from None
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        text = re.sub(r"Row #(\d+)", r"line \1", str(error)).strip().splitlines()
        raise CatalogError(
            f"{path}: cannot be read: {text[0] if text else type(error).__name__}; get the file again, or mend it"
        ) from None


def _parquet_batches(path: Path, schema: pa.Schema, tell: Tell) -> Iterator[pa.RecordBatch]:
    size, rows = path.stat().st_size, 0
    with pa.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS):
            yield pa.RecordBatch.from_arrays(
                [_column(path, batch, name, schema, rows) for name in schema.names], names=schema.names
            )
            rows += batch.num_rows
            tell(size * rows // file.metadata.num_rows)


def _is_binary(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _for_people(schema: pa.Schema) -> pa.Schema:
    """Columns as they are given: with texts in the place of bytes, and without astropy's columns of masks.

    In these forms astropy writes the texts of a FITS table, and what is missing in it.
    """
    masks = {f"{name}{_MASK}" for name in schema.names} if b"table_meta_yaml" in (schema.metadata or {}) else set()
    columns = [column for column in schema if column.name not in masks]
    return pa.schema([pa.field(c.name, pa.string(), metadata=c.metadata) if _is_binary(c.type) else c for c in columns])


def _column(path: Path, batch: pa.RecordBatch, name: str, schema: pa.Schema, start: int) -> pa.Array:
    values, mask = batch.column(name), f"{name}{_MASK}"
    if values.type != schema.field(name).type:
        values = _texts(path, name, values, start)
    if mask in batch.schema.names and mask not in schema.names:
        values = pa.compute.if_else(batch.column(mask), pa.scalar(None, values.type), values)
    return values


def _texts(path: Path, name: str, values: pa.Array, start: int) -> pa.Array:
    """Bytes as texts, without the blanks and zeros that fill them up."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    found = []
    for row, value in enumerate(values.to_pylist(), start + 1):
        try:
            found.append(None if value is None else value.rstrip(b" \0").decode())
        except UnicodeDecodeError:
            raise CatalogError(
                f"{path}, row {row}: column {name} holds bytes that are no text in UTF-8; convert or remove it"
            ) from None
    return pa.array(found, pa.string())


def _column_metadata(schema: pa.Schema) -> dict[str, dict[str, str]]:
    """Units and UCDs that the fields carry, or the header that astropy writes."""
    found = _astropy_metadata(schema)
    for column in schema:
        for key in ("unit", "ucd"):
            text = (column.metadata or {}).get(key.encode())
            if text:
                found.setdefault(column.name, {})[key] = text.decode("utf-8", "replace")
    return found


def _astropy_metadata(schema: pa.Schema) -> dict[str, dict[str, str]]:
    text = (schema.metadata or {}).get(b"table_meta_yaml")
    if text is None:
        return {}
    from astropy.table.meta import get_header_from_yaml

    try:
        columns = get_header_from_yaml(text.decode().split("\n"))["datatype"]
        return {
            str(column["name"]): {
                key: str(value)
                for key, value in (("unit", column.get("unit")), ("ucd", column.get("meta", {}).get("ucd")))
                if value
            }
            for column in columns
        }
    except Exception:  # a header of another make; the names of columns are enough
        return {}
