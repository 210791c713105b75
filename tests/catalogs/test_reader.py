"""Files of catalogues: what is read, which columns are taken, and what is wrong with a file."""

from __future__ import annotations

import datetime
import decimal
import gzip
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from boom_streams.catalogs.columns import choose, guess_id, guess_position
from boom_streams.catalogs.describe import starting_point
from boom_streams.catalogs.reader import Source, open_source
from boom_streams.catalogs.rows import Rejected, Rows, read_rows
from boom_streams.crossmatch import Catalog
from boom_streams.errors import CatalogError

ANY = Catalog(name="c", radius=2.0)


def csv(folder: Path, text: str, name: str = "c.csv") -> Source:
    file = folder / name
    file.write_bytes(gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode())
    return open_source(file)


def parquet(folder: Path, schema: pa.Schema | None = None, **columns: Any) -> Source:
    file = folder / "c.parquet"
    pa.parquet.write_table(pa.table(columns, schema=schema), file)
    return open_source(file)


def values(source: Source) -> list[dict[str, Any]]:
    return [row for batch in source.batches() for row in batch.to_pylist()]


def rows(source: Source, catalog: Catalog = ANY) -> tuple[Rows, Rejected]:
    (batch,) = source.batches()
    rejected = Rejected()
    columns = choose(catalog, [source])
    return read_rows(source, batch, columns, catalog, rejected, start=0, numbered_from=0), rejected


@pytest.mark.parametrize("name", ["c.csv", "C.CSV", "c.csv.gz"])
def test_csv(tmp_path: Path, name: str) -> None:
    source = csv(tmp_path, 'ra,dec,name\n1,2.5,"M 31, NGC 224"\n359.5,-3,\n,4,--\n', name)
    assert values(source) == [
        {"ra": 1.0, "dec": 2.5, "name": "M 31, NGC 224"},
        {"ra": 359.5, "dec": -3.0, "name": None},
        {"ra": None, "dec": 4.0, "name": None},
    ]


def test_types_are_those_of_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from boom_streams.catalogs import csv_files

    monkeypatch.setattr(csv_files, "_BLOCK", 1 << 12)
    lines = [f"{i},{i},{i},,{i}" for i in range(2000)] + ["1,2,1.5,7,M31", "1,2,3,x,9"]
    source = csv(tmp_path, "ra,dec,mag,late,name\n" + "\n".join(lines) + "\n")
    assert [str(kind) for kind in source.schema.types] == ["int64", "int64", "double", "string", "string"]
    last = values(source)[-2:]
    assert last[0] == {"ra": 1, "dec": 2, "mag": 1.5, "late": "7", "name": "M31"}
    assert last[1] == {"ra": 1, "dec": 2, "mag": 3.0, "late": "x", "name": "9"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.vot", b"SIMPLE", r"a\.vot: unknown format; known are \.parquet"),
        ("a.fits", b"SIMPLE", r"a\.fits: cannot be read"),
        ("a.csv", b"", r"a\.csv: cannot be read: Empty CSV file"),
        ("a.csv", b"ra,dec\n1,2\n3,4\n5,6,7\n", r"a\.csv: cannot be read: .*line 4: Expected 2 columns, got 3"),
        (
            "a.csv.gz",
            gzip.compress(b"ra,dec\n" + b"1,2\n" * 9999, mtime=0)[:-20],
            r"a\.csv\.gz: cannot be read: .*ended before",
        ),
        ("a.csv.gz", b"ra,dec\n1,2\n", r"a\.csv\.gz: cannot be read"),
        ("a.csv", b"ra,dec,ra\n1,2,3\n", r"a\.csv: there are several columns ra; rename them"),
        ("a.parquet", b"PAR1 and no more", r"a\.parquet: cannot be read: .*Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogError, match=reason):
        open_source(tmp_path / name)


@pytest.mark.parametrize(
    ("column", "kind", "found"),
    [
        # Columns that tell sources apart, by their usual names or the description's: integers, or texts as they stand.
        (("objid", "1", "22", "-3"), "int64", [1, 22, -3]),
        (("objid", "100000000000000001", "100000000000000002.0"), "string", None),
        (("objid", "9223372036854775808", "9223372036854775809"), "string", None),
        (("ID", "007", "8"), "string", None),
        (("mine", "1.5", "2"), "string", None),
        (("mine", " 5", "6"), "int64", [5, 6]),
        (("source_id", "true", "false"), "string", None),
        # Others: numbers where nothing is lost by it.
        (("n", "100000000000000001", "100000000000000002.0"), "string", None),
        (("n", "9223372036854775808", "1"), "string", None),
        (("n", "007", "8"), "string", None),
        (("n", "1995E1", "1996"), "string", None),
        (("n", "1995E1", "1e-5"), "double", [19950.0, 1e-5]),
        (("n", "007.5", "08"), "double", [7.5, 8.0]),
        (("n", "-999999999999999", "0.5"), "double", [-999999999999999.0, 0.5]),
        (("n", "9007199254740993", "0.5"), "string", None),
        (("n", "1", "inf"), "double", [1.0, float("inf")]),
        (("n", "", "7"), "int64", [None, 7]),
        (("n", " 5", "6 "), "int64", [5, 6]),
        (("n", "true", "false"), "bool", [True, False]),
        (("n", "true", "7"), "string", None),
        (("n", "2024-06-17", "x"), "string", None),
    ],
)
def test_values_in_csv_are_exact(tmp_path: Path, column: tuple[str, ...], kind: str, found: list[Any] | None) -> None:
    name, *written = column
    (tmp_path / "c.csv").write_text(f"ra,dec,{name}\n" + "".join(f"1,2,{value}\n" for value in written))
    source = open_source(tmp_path / "c.csv", exact=("mine",))
    assert str(source.schema.field(name).type) == kind
    assert [row[name] for row in values(source)] == (written if found is None else found)


def test_an_id_that_is_odd_far_down_keeps_all_ids_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from boom_streams.catalogs import csv_files

    monkeypatch.setattr(csv_files, "_BLOCK", 1 << 12)
    ids = [f"{10**17 + number}" for number in range(3000)]
    ids[2900] += ".0"
    source = csv(tmp_path, "ra,dec,objid\n" + "".join(f"1,2,{name}\n" for name in ids))
    assert [row["objid"] for row in values(source)] == ids
    assert guess_id(source) == "objid"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('ra,dec,name\n1,2,"M 31\n3,4,M 32\n5,6,M 33\n', 2),
        ('ra,dec,name\n1,2,M 31\n3,4,"M 32\n5,6,"M 33"\n', 3),
        ('ra,dec,name\n1,2,"M 31\n3,4,"\n', 2),
        ('ra,dec,name\n1,2,"M ""31"""\n3,4,"M 32', 3),
        ('ra,dec,"name\n1,2,3\n', 1),
        ("ra,dec,name\n" + "1,2,3\n" * 5000 + '1,2,"x\n' + "1,2,3\n" * 5000, 5002),
    ],
)
@pytest.mark.parametrize("name", ["c.csv", "c.csv.gz"])
def test_a_quote_that_is_not_closed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, name: str
) -> None:
    from boom_streams.catalogs import csv_files

    monkeypatch.setattr(csv_files, "_BLOCK", 1 << 12)
    with pytest.raises(CatalogError, match=rf"{name}, line {line}: a quote .* is not closed"):
        csv(tmp_path, text, name)


@pytest.mark.parametrize("columns", [50_000, 2_000_000])
def test_very_many_columns_are_named(tmp_path: Path, columns: int) -> None:
    begin = time.monotonic()
    with pytest.raises(CatalogError, match=r"c\.csv, line 1: .* not have more than 5000 columns"):
        csv(tmp_path, ",".join(f"c{n}" for n in range(columns)) + "\n" + ",".join("1" for _ in range(columns)))
    assert time.monotonic() - begin < 5


def test_many_columns_are_read_at_once(tmp_path: Path) -> None:
    columns = 4998
    odd = [",".join("x" if n == row else "1" for n in range(columns)) for row in range(10)]
    begin = time.monotonic()
    source = csv(
        tmp_path, "ra,dec," + ",".join(f"c{n}" for n in range(columns)) + "\n" + "\n".join(f"1,2,{o}" for o in odd)
    )
    assert time.monotonic() - begin < 10
    assert source.schema.field("c3").type == pa.string()


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes(b"ra,dec,name\n1,2,a\n3,4,\xff\n")
    with pytest.raises(CatalogError, match=r"c\.csv, line 3: column name cannot be read: .*UTF8"):
        open_source(tmp_path / "c.csv")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.csv: there is no such file"):
        open_source(tmp_path / "none.csv")


def test_damage_inside_a_parquet_file_is_found_while_reading(tmp_path: Path) -> None:
    table = pa.table({"ra": [float(i) for i in range(5000)], "dec": [0.0] * 5000})
    file = tmp_path / "a.parquet"
    pa.parquet.write_table(table, file, use_dictionary=False, compression="zstd", row_group_size=2500)
    content = bytearray(file.read_bytes())
    content[100:1100] = bytes(1000)
    file.write_bytes(content)
    source = open_source(file)
    with pytest.raises(CatalogError, match=r"a\.parquet: cannot be read: "):
        values(source)


@pytest.mark.parametrize(
    ("header", "position"),
    [
        ("RA,DEC", ("RA", "DEC")),
        ("RAJ2000,DEJ2000", ("RAJ2000", "DEJ2000")),
        ("RA_ICRS,DE_ICRS", ("RA_ICRS", "DE_ICRS")),
        ("_RAJ2000,_DEJ2000,RAJ2000,DEJ2000", ("_RAJ2000", "_DEJ2000")),
        ("raMean,decMean", ("raMean", "decMean")),
        ("x,ra_deg,dec_deg", ("ra_deg", "dec_deg")),
        ("RAdeg,DEdeg", ("RAdeg", "DEdeg")),
        ("ra,declination", None),
        ("x,y", None),
    ],
)
def test_usual_names_of_positions(tmp_path: Path, header: str, position: tuple[str, str] | None) -> None:
    source = csv(tmp_path, f"{header}\n{','.join('1' for _ in header.split(','))}\n")
    assert guess_position(source) == position


def test_numbers_go_before_texts_and_ucds_before_names(tmp_path: Path) -> None:
    assert guess_position(csv(tmp_path, "ra,dec,ra_deg,dec_deg\n1:2:3,4:5:6,1,2\n")) == ("ra_deg", "dec_deg")
    fields = [("ra", "pos.eq.ra"), ("dec", "pos.eq.dec"), ("x", "pos.eq.ra;meta.main"), ("y", "pos.eq.dec;meta.main")]
    schema = pa.schema([pa.field(name, pa.float64(), metadata={"ucd": ucd, "unit": "deg"}) for name, ucd in fields])
    source = parquet(tmp_path, schema, ra=[1.0], dec=[1.0], x=[2.0], y=[2.0])
    assert guess_position(source) == ("x", "y")


def test_units_that_astropy_writes_are_seen(tmp_path: Path) -> None:
    from astropy import units
    from astropy.table import Table

    table = Table({"ra": [1.0, 2.0] * units.rad, "dec": [1.0, 1.5] * units.rad})
    table.write(tmp_path / "a.parquet")
    with pytest.raises(CatalogError, match=r"a\.parquet: column ra is in rad; positions must be decimal degrees"):
        choose(ANY, [open_source(tmp_path / "a.parquet")])


@pytest.mark.parametrize(
    ("header", "row", "identity"),
    [("objID,id", "1,2", "objID"), ("id,x", "a,2", "id"), ("source_id", "1.5", "source_id"), ("name", "a", None)],
)
def test_usual_names_of_identifiers(tmp_path: Path, header: str, row: str, identity: str | None) -> None:
    assert guess_id(csv(tmp_path, f"ra,dec,{header}\n1,2,{row}\n")) == identity


@pytest.mark.parametrize(
    ("text", "changes", "reason"),
    [
        ("x,y\n1,2\n", {}, r"c\.csv: no columns look like a position; .* The columns are x, y"),
        ("ra,dec\n10:20:30,-1:2:3\n", {}, r"c\.csv, line 2: column ra holds text \('10:20:30'\); .*decimal degrees"),
        ("ra,dec\n1,2\n3,+4 5\n", {}, r"c\.csv, line 3: column dec holds text \('\+4 5'\)"),
        ("ra,dec\n1,2\n", {"ra": "RAJ2000", "dec": "dec"}, r"c\.csv: there is no column RAJ2000"),
        ("ra,dec\n1,2\n", {"projection": ("mag",)}, r"there is no column mag, .* the columns are ra, dec"),
        ("ra,dec,x\n1,2,0.5\n", {"id": "x"}, r"column x holds double; .* must hold integers or texts"),
    ],
)
def test_columns_that_do_not_serve_are_named(tmp_path: Path, text: str, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CatalogError, match=reason):
        choose(ANY.model_copy(update=changes), [csv(tmp_path, text)])


def test_a_redshift_must_be_a_number(tmp_path: Path) -> None:
    galaxies = Catalog(
        name="g", radius=2.0, mode="distance", distance_key="z", distance_max=30.0, distance_max_near=300.0
    )
    with pytest.raises(CatalogError, match="column z, the distance_key, holds string, not numbers"):
        choose(galaxies, [csv(tmp_path, "ra,dec,z\n1,2,far\n")])


def test_parts_must_have_the_same_columns(tmp_path: Path) -> None:
    parts = [csv(tmp_path, "ra,dec,id\n1,2,3\n", "1.csv"), csv(tmp_path, "ra,dec\n1,2\n", "2.csv")]
    with pytest.raises(CatalogError, match=r"2\.csv: there is no column id"):
        choose(ANY, parts)


def test_rows_without_a_position_or_id_are_rejected(tmp_path: Path) -> None:
    text = "ra,dec,id\n1,2,a\n,2,b\n1,nan,c\n361,2,d\n-0.1,2,e\n1,90.1,f\n360,-90,g\n1,2,\ninf,2,h\n"
    found, rejected = rows(csv(tmp_path, text))
    assert [document["_id"] for document in found.documents] == ["a", "g"]
    assert found.ra.tolist() == [1.0, 0.0]
    assert found.places.tolist() == [0, 6]
    assert rejected.counts == {"no position": 3, "position out of range": 3, "no id": 1}
    assert "3 rows: position out of range (first: " in str(rejected)
    assert rejected.first["position out of range"].endswith("c.csv, line 5")


def test_values_are_stored_in_types_that_mongodb_has(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 6, 17, 1, 2, 3, 456789)  # noqa: DTZ001 - as Parquet has it
    source = parquet(
        tmp_path,
        ra=[1.0, 2.0],
        dec=pa.array([1.5, 2.5], pa.float32()),
        big=pa.array([2**63 - 1, None], pa.uint64()),
        time=pa.array([moment, None], pa.timestamp("ns")),
        day=[datetime.date(2024, 6, 17), None],
        exact=[decimal.Decimal("1.25"), None],
        name=pa.array(["a", "b"]).dictionary_encode(),
        missing=[float("nan"), 1.0],
        many=[[1, 2], None],
    )
    first, second = rows(source)[0].documents
    assert first.pop("coordinates")["radec_geojson"] == {"type": "Point", "coordinates": [-179.0, 1.5]}
    assert first == {
        "_id": 1, "ra": 1.0, "dec": 1.5, "big": 2**63 - 1, "time": moment.replace(microsecond=456000),
        "day": datetime.datetime(2024, 6, 17), "exact": 1.25, "name": "a", "many": [1, 2],  # noqa: DTZ001
    }  # fmt: skip
    assert set(second) == {"_id", "ra", "dec", "coordinates", "name", "missing"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pa.array([1], pa.duration("s")), "column x holds duration.*, which cannot be stored"),
        (pa.array([2**63], pa.uint64()), "column x cannot be stored as int64"),
    ],
)
def test_values_that_cannot_be_stored_are_named(tmp_path: Path, values: pa.Array, reason: str) -> None:
    with pytest.raises(CatalogError, match=reason):
        rows(parquet(tmp_path, ra=[1.0], dec=[2.0], x=values))


def test_a_match_shows_what_the_projection_names(tmp_path: Path) -> None:
    source = csv(tmp_path, "ra,dec,id,mag,name\n1,2,7,,M31\n")
    shown = [
        rows(source, catalog)[0].shown(catalog)[0]
        for catalog in (ANY, ANY.model_copy(update={"projection": ("name", "mag")}))
    ]
    assert shown[0] == {"_id": 7, "ra": 1.0, "dec": 2.0, "id": 7, "name": "M31"}
    assert shown[1] == {"_id": 7, "ra": 1.0, "dec": 2.0, "name": "M31"}


@pytest.mark.parametrize("text", ["RAJ2000,DEJ2000,objid,mag\n1,2,3,4\n", 'x,"y ""z"""\n1,2\n'])
def test_the_starting_point_is_a_description(tmp_path: Path, text: str) -> None:
    import tomllib

    source = csv(tmp_path, text)
    described = starting_point("c", source)
    catalog = Catalog.model_validate({"name": "c", **tomllib.loads(described)})
    assert (catalog.ra, catalog.dec) == (guess_position(source) or (None, None))
    assert catalog.id == guess_id(source)
    assert all(f"#   {name}: int64" in described for name in source.schema.names)
