"""Files of catalogues, read in batches: Parquet, CSV, and CSV in gzip.

The types of a CSV file's columns are found by reading it once before: a column of integers that has a fraction, or a
text, far down is of numbers with fractions, or of texts, from the start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from boom_streams.errors import CatalogError

__all__ = ["Source", "open_source"]

#: Rows at once.
_ROWS = 20_000

#: Bytes of a CSV file at once; types are guessed on the first so many.
_BLOCK = 8 << 20

_FORMATS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv"}

#: What stands for "no value" in CSV files.
_MISSING = ["", "null", "NULL", "nan", "NaN", "NAN", "N/A", "NA", "--"]

_WRONG_VALUE = re.compile(r"In CSV column #(\d+): Row #(\d+): CSV conversion error to \w+")

#: What a column of a CSV file is when its values are not what they seemed to be.
_WIDER = {pa.null(): pa.int64(), pa.int64(): pa.float64()}

#: Tells how many bytes of a file have been read.
Tell = Callable[[int], None]


def _silent(_: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a catalogue, whose columns are known."""

    path: Path
    schema: pa.Schema
    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What the file says of its columns: ``unit`` and ``ucd``, where it does."""

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
            if self.is_csv:
                types = dict(zip(self.schema.names, self.schema.types, strict=True))
                yield from _csv_batches(self.path, types, tell)
            else:
                yield from _parquet_batches(self.path, tell)


def open_source(path: Path, tell: Tell = _silent) -> Source:
    """Find the columns of a file; a CSV file is read to its end for that.

    Raises
    ------
    CatalogError
        If the format is unknown, the file cannot be read, or two columns have the same name.
    """
    with _readable(path):
        if _format(path) == "csv":
            source = Source(path, _csv_schema(path, tell))
            for column in source.schema:
                if pa.types.is_binary(column.type):
                    raise CatalogError(f"{path}: column {column.name} holds text that is not UTF-8; convert the file")
        else:
            with pa.parquet.ParquetFile(path) as file:
                source = Source(path, file.schema_arrow, _column_metadata(file.schema_arrow))
    repeated = sorted({name for name in source.schema.names if source.schema.names.count(name) > 1})
    if repeated:
        raise CatalogError(f"{path}: there are several columns {', '.join(repeated)}; rename them")
    return source


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
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        text = re.sub(r"Row #(\d+)", r"line \1", str(error)).strip().splitlines()
        raise CatalogError(
            f"{path}: cannot be read: {text[0] if text else type(error).__name__}; get the file again, or mend it"
        ) from None


def _parquet_batches(path: Path, tell: Tell) -> Iterator[pa.RecordBatch]:
    size, rows = path.stat().st_size, 0
    with pa.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS):
            yield batch
            rows += batch.num_rows
            tell(size * rows // file.metadata.num_rows)


def _csv_batches(path: Path, types: Mapping[str, pa.DataType], tell: Tell) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as file, _unzipped(path, file) as text:
        reader = pa.csv.open_csv(
            text,
            read_options=pa.csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=types, null_values=_MISSING, strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
        for batch in reader:
            for start in range(0, batch.num_rows, _ROWS):
                yield batch.slice(start, _ROWS)
            tell(file.tell())
        if not types:
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)  # tells the columns of a file without rows


def _unzipped(path: Path, file: pa.NativeFile) -> Any:
    return pa.CompressedInputStream(file, "gzip") if path.name.lower().endswith(".gz") else file


def _csv_schema(path: Path, tell: Tell) -> pa.Schema:
    """Columns of a CSV file with types that all their values have."""
    schema: pa.Schema | None = None
    types: dict[str, pa.DataType] = {}
    while True:
        try:
            for batch in _csv_batches(path, types, tell):
                schema = batch.schema
            assert schema is not None
            return schema
        except pa.ArrowInvalid as error:
            wrong = _WRONG_VALUE.match(str(error))
            if wrong is None:
                raise
            schema = schema or _first_schema(path)
            name = schema.names[int(wrong[1])]
            types = dict(zip(schema.names, schema.types, strict=True)) | types
            wider = _WIDER.get(types[name], pa.string())
            if wider == types[name]:
                raise
            types[name] = wider


def _first_schema(path: Path) -> pa.Schema:
    """Columns of a CSV file as its first block has them."""
    return next(iter(_csv_batches(path, {}, _silent))).schema


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
