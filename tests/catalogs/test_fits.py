"""FITS tables, read directly and as astropy writes them to Parquet: the same rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from boom_streams.catalogs import fits_files
from boom_streams.catalogs.columns import choose
from boom_streams.catalogs.reader import open_source
from boom_streams.crossmatch import Catalog
from boom_streams.errors import CatalogError

DESCRIBED = Catalog(name="c", radius=2.0, id="Source_Name")


def table() -> Table:
    made = Table(
        {
            "RAJ2000": [10.5, 20.25, 30.0],
            "DEJ2000": [-1.0, 0.0, 1.0],
            "Source_Name": ["4FGL J0000.3-7355", "a", "b"],
            "flux": np.array([1.5, np.nan, 2.5], np.float32),
            "count": MaskedColumn(np.array([1, 2, 3], np.int16), mask=[False, True, False]),
            "big": np.array([2**63 - 1, 5, 0], np.uint64),
            "flag": [True, False, True],
            "bands": np.array([[1, 2], [3, 4], [5, 6]], np.float64),
        }
    )
    made["RAJ2000"].unit = made["DEJ2000"].unit = "deg"
    return made


@pytest.fixture(params=["c.fits", "c.fits.gz", "c.parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A FITS file, and one made of it in the way that the documentation names."""
    table().write(tmp_path / "c.fits")
    if request.param != "c.fits":
        Table.read(tmp_path / "c.fits").write(tmp_path / request.param)
    return tmp_path / request.param


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for batch in open_source(path).batches() for row in batch.to_pylist()]


def test_texts_are_texts_and_numbers_are_numbers(file: Path) -> None:
    first, second, _ = rows(file)
    assert first == {
        "RAJ2000": 10.5, "DEJ2000": -1.0, "Source_Name": "4FGL J0000.3-7355", "flux": 1.5, "count": 1,
        "big": 2**63 - 1, "flag": True, "bands": [1.0, 2.0],
    }  # fmt: skip
    assert second["count"] is None
    assert second["flux"] is None or np.isnan(second["flux"])


def test_a_text_tells_sources_apart(file: Path) -> None:
    columns = choose(DESCRIBED, [open_source(file)])
    assert (columns.ra, columns.dec, columns.id) == ("RAJ2000", "DEJ2000", "Source_Name")


def test_units_are_seen(file: Path) -> None:
    assert open_source(file).metadata["RAJ2000"] == {"unit": "deg"}


def test_slices_have_the_same_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table().write(tmp_path / "c.fits")
    whole = rows(tmp_path / "c.fits")
    monkeypatch.setattr(fits_files, "_ROWS", 1)
    sliced = list(open_source(tmp_path / "c.fits").batches())
    assert len(sliced) == 3
    assert len({batch.schema for batch in sliced}) == 1
    assert repr([row for batch in sliced for row in batch.to_pylist()]) == repr(whole)


def test_lists_of_any_length_and_empty_texts(tmp_path: Path) -> None:
    lists = np.array([np.array([1.0, 2.0], "f4"), np.array([], "f4")], dtype=object)
    columns = [
        fits.Column("ra", "D", array=[1.0, 2.0]),
        fits.Column("names", "8A", array=["a", ""]),
        fits.Column("lists", "PE()", array=lists),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "c.fits")
    assert rows(tmp_path / "c.fits") == [
        {"ra": 1.0, "names": "a", "lists": [1.0, 2.0]},
        {"ra": 2.0, "names": None, "lists": []},
    ]


def test_an_empty_table_has_columns(tmp_path: Path) -> None:
    table()[:0].write(tmp_path / "c.fits")
    assert rows(tmp_path / "c.fits") == []
    assert open_source(tmp_path / "c.fits").schema.names[:2] == ["RAJ2000", "DEJ2000"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(CatalogError, match=r"image\.fits: there is no table"):
        open_source(tmp_path / "image.fits")
    Table({"ra": [1 + 2j]}).write(tmp_path / "complex.fits")
    with pytest.raises(CatalogError, match=r"complex\.fits: column ra .*M.* cannot be read"):
        open_source(tmp_path / "complex.fits")
    table().write(tmp_path / "whole.fits")
    shutil.copy(tmp_path / "whole.fits", tmp_path / "cut.fits")
    with (tmp_path / "cut.fits").open("r+b") as cut:
        cut.truncate(2880 * 2 + 100)
    with pytest.raises(CatalogError, match=r"cut\.fits: cannot be read"):
        rows(tmp_path / "cut.fits")


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"ra": [1.0, 2.0], "x": [b"a", b"\xff"]}), tmp_path / "c.parquet")
    with pytest.raises(CatalogError, match=r"c\.parquet, row 2: column x holds bytes that are no text"):
        rows(tmp_path / "c.parquet")
