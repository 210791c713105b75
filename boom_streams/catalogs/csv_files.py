"""CSV files, plain or in gzip: whole lines, and columns whose types keep every value as it is written.

A file is read three times: for its lines (each ends its quotes), for the types of its columns, and for its rows. A
column is of integers or of numbers with fractions only if no value loses anything by it; else it is of texts, which
are exact: ``007``, an integer of twenty digits, the name ``1995E1``.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from boom_streams.errors import CatalogError

__all__ = ["MOST_COLUMNS", "csv_batches", "csv_schema"]

#: Most columns of a table.
MOST_COLUMNS = 5000

#: Rows at once.
_ROWS = 20_000

#: Bytes of a CSV file at once.
_BLOCK = 8 << 20

#: What stands for "no value" in CSV files.
_MISSING = ["", "null", "NULL", "nan", "NaN", "NAN", "N/A", "NA", "--"]

_WRONG_VALUE = re.compile(r"In CSV column #(\d+): Row #(\d+): CSV conversion error to \w+: (.*)")

_NUMBERS = (pa.null(), pa.int64(), pa.float64())

#: What separates columns in files that are called CSV elsewhere.
_OTHER_SIGNS = {b";": "semicolons", b"\t": "tabs", b"|": "bars"}

#: Integers of 15 digits are exact as 64-bit floats; longer ones need not be.
_DIGITS = 15
_EXACT, _LONG = 10**_DIGITS - 1, r"^[+-]?[0-9]{16,}(\.0*)?$"

#: Shows that numbers are meant: a point, the sign of an exponent, infinity.
_POINTED = r"\.|[eE][+-]|[a-df-zA-DF-Z]"

#: Digits that are a name, unless the column shows that numbers are meant.
_NAME = r"^[+-]?0[0-9]+$|^[0-9]+[eE][0-9]+$"


def csv_schema(path: Path, exact: Collection[str], tell: Callable[[int], None]) -> pa.Schema:
    """Find the columns of a CSV file with types that all their values have.

    Parameters
    ----------
    path
        The file.
    exact
        Names, lower case, of columns that tell sources apart: they are of integers, or of texts as they stand.
    tell
        Is told how many bytes have been read.

    Raises
    ------
    CatalogError
        If a line does not end its quotes, there are too many columns, or something else than commas separates them.
    """
    _check_lines(path)
    guessed = next(iter(_batches(path, {}, lambda done: None))).schema
    seen = [_Column(column.type, column.name.lower() in exact) for column in guessed]
    for batch in _batches(path, dict.fromkeys(guessed.names, pa.string()), tell):
        for column, values in zip(seen, batch.columns, strict=True):
            column.see(values)
    return pa.schema([(name, column.type) for name, column in zip(guessed.names, seen, strict=True)])


def csv_batches(path: Path, schema: pa.Schema, tell: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    """Yield the rows in their order, with the types that `csv_schema` has found."""
    for batch in _batches(path, dict(zip(schema.names, schema.types, strict=True)), tell):
        for start in range(0, batch.num_rows, _ROWS):
            yield batch.slice(start, _ROWS)


def _batches(path: Path, types: Mapping[str, pa.DataType], tell: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as file:
        text = pa.CompressedInputStream(file, "gzip") if _is_zipped(path) else file
        try:
            reader = pa.csv.open_csv(
                text,
                read_options=pa.csv.ReadOptions(block_size=_BLOCK, use_threads=False),
                convert_options=pa.csv.ConvertOptions(
                    column_types=types, null_values=_MISSING, strings_can_be_null=True, quoted_strings_can_be_null=False
                ),
            )
            empty = pa.RecordBatch.from_pylist([], schema=reader.schema)
            for batch in reader:
                yield batch
                tell(file.tell())
            yield empty  # tells the columns of a file without rows
        except pa.ArrowInvalid as error:
            wrong = _WRONG_VALUE.match(str(error))
            if wrong is None:
                raise
            column = list(types)[int(wrong[1])] if types else f"number {int(wrong[1]) + 1}"
            raise CatalogError(f"{path}, line {wrong[2]}: column {column} cannot be read: {wrong[3]}") from None


@dataclass(slots=True)
class _Column:
    """What the values of a column that have been seen allow it to be.

    Attributes
    ----------
    guess
        What the first rows look like to pyarrow.
    exact
        Whether it must be integers or texts.
    long
        Whether a float could not hold an integer among them.
    named
        Whether there are digits which are a name rather than a number.
    """

    guess: pa.DataType
    exact: bool
    empty: bool = True
    integers: bool = True
    numbers: bool = True
    long: bool = False
    named: bool = False
    pointed: bool = False
    guess_holds: bool = True

    def see(self, values: pa.Array) -> None:
        """Take some more values, as texts."""
        values = values.drop_null()
        if not len(values):
            return
        self.empty = False
        if self.guess not in (*_NUMBERS, pa.string()) and self.guess_holds:
            self.guess_holds = _cast(values, self.guess) is not None
        elif self.numbers:
            self._see_numbers(pa.compute.utf8_trim_whitespace(values))

    def _see_numbers(self, values: pa.Array) -> None:
        integers = _cast(values, pa.int64()) if self.integers else None
        if integers is not None and pa.compute.all(pa.compute.equal(integers.cast(pa.string()), values)).as_py():
            low, high = pa.compute.min_max(integers).as_py().values()
            self.long |= low < -_EXACT or high > _EXACT
            return
        self.integers = False
        if _cast(values, pa.float64()) is None:
            self.numbers = False
            return
        if pa.compute.max(pa.compute.binary_length(values)).as_py() > _DIGITS:
            self.long |= _any(values, _LONG)
        self.pointed = self.pointed or _any(values, _POINTED)
        self.named = self.named or (not self.pointed and _any(values, _NAME))

    @property
    def type(self) -> pa.DataType:
        """The type that all values have."""
        if self.empty:
            return pa.null()
        if self.guess not in (*_NUMBERS, pa.string()):
            return self.guess if self.guess_holds and not self.exact else pa.string()
        if self.integers and self.numbers:
            return pa.int64()
        floats = self.numbers and not self.exact and not self.long and (self.pointed or not self.named)
        return pa.float64() if floats else pa.string()


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _any(values: pa.Array, pattern: str) -> bool:
    return bool(pa.compute.any(pa.compute.match_substring_regex(values, pattern)).as_py())


def _check_lines(path: Path) -> None:
    """Refuse a file with a quote that is open at the end of its line, or with very many columns."""
    line, inside = 1, 0
    with _open(path) as file:
        while block := file.read(_BLOCK):
            if line == 1:
                _check_header(path, block)
            text = np.frombuffer(block, np.uint8)
            ends = np.flatnonzero(text == ord("\n"))
            quotes = np.flatnonzero(text == ord('"')) if inside or b'"' in block else np.empty(0, np.int64)
            open_at = np.flatnonzero((np.searchsorted(quotes, ends) + inside) % 2)
            if len(open_at):
                raise _open_quote(path, line + int(open_at[0]))
            line, inside = line + len(ends), (inside + len(quotes)) % 2
    if inside:
        raise _open_quote(path, line)


def _check_header(path: Path, block: bytes) -> None:
    header = block.split(b"\n", 1)[0]
    if header.count(b",") >= MOST_COLUMNS:
        raise CatalogError(f"{path}, line 1: a catalogue may not have more than {MOST_COLUMNS} columns")
    other = next((name for sign, name in _OTHER_SIGNS.items() if sign in header), None)
    if other and b"," not in header:
        raise CatalogError(f"{path}, line 1: columns are separated by commas here, not by {other}; convert the file")


def _open_quote(path: Path, line: int) -> CatalogError:
    return CatalogError(f'{path}, line {line}: a quote (") is not closed on its line; close or remove it')


def _open(path: Path) -> Any:
    return io.BufferedReader(gzip.GzipFile(path)) if _is_zipped(path) else path.open("rb")


def _is_zipped(path: Path) -> bool:
    return path.name.lower().endswith(".gz")
