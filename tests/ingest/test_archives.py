"""Hostile and odd archives: what is bad in one is passed over with a line, the rest is read, within bounded memory."""

from __future__ import annotations

import gzip
import io
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boom_streams.ingest.archives import ArchiveError, members, printable
from boom_streams.ingest.files import Container, containers, find_sources

GOOD = {"a.avro": b"first", "b.avro": b"last"}


def header(name: bytes, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header block with a name of any bytes."""
    block = bytearray(512)
    block[: len(name[:100])] = name[:100]
    block[124:136] = b"%011o\0" % size
    block[156:157] = kind
    block[257:265] = b"ustar\00000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: bytes, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(data), kind) + data + bytes(-len(data) % 512)


def record(text: bytes) -> bytes:
    """A record of an extended header, which begins with its own length."""
    length = len(text) + 2
    while len(str(length)) + len(text) + 2 != length:
        length = len(str(length)) + len(text) + 2
    return b"%d %s\n" % (length, text)


def night(tmp_path: Path, *between: bytes, packed: bool) -> Path:
    """An archive of two good files and what lies between them."""
    data = b"".join([member(b"a.avro", GOOD["a.avro"]), *between, member(b"b.avro", GOOD["b.avro"]), bytes(1024)])
    path = tmp_path / ("night.tar.gz" if packed else "night.tar")
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    return path


def read(path: Path) -> list[Container]:
    return list(containers(find_sources([path])))


LONG = 100_000

BAD = {
    "no UTF-8": ([member(b"\xff\xfe.avro", b"data")], "its name is not UTF-8"),
    "no UTF-8, extended": (
        [member(b"x", record(b"path=\xff\xfe.avro"), tarfile.XHDTYPE), member(b"x.avro", b"data")],
        "its name is not UTF-8",
    ),
    "long GNU name": (
        [member(b"././@LongLink", b"n" * LONG + b".avro\0", tarfile.GNUTYPE_LONGNAME), member(b"n" * 100, b"data")],
        "100006 bytes",
    ),
    "long extended header": (
        [member(b"x", record(b"path=" + b"n" * LONG + b".avro"), tarfile.XHDTYPE), member(b"n.avro", b"data")],
        "bytes",
    ),
    "sparse": ([header(b"s.avro", 512, tarfile.GNUTYPE_SPARSE) + bytes(512)], "sparse"),
    "sparse, extended": (
        [member(b"x", record(b"GNU.sparse.major=1"), tarfile.XHDTYPE), member(b"s.avro", b"data")],
        "sparse",
    ),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", BAD)
def test_what_is_bad_is_passed_over_with_a_line_and_the_rest_is_read(name: str, packed: bool, tmp_path: Path) -> None:
    between, reason = BAD[name]
    found = read(night(tmp_path, *between, packed=packed))
    assert [c.data for c in found if not c.problem] == list(GOOD.values())
    (bad,) = [c for c in found if c.problem]
    assert reason in bad.problem
    assert bad.data == b""
    assert len(bad.name.encode()) < 500
    assert all(c.consumed <= found[-1].consumed for c in found)


@pytest.mark.parametrize("packed", [False, True])
def test_other_kinds_of_members_are_passed_over_silently(packed: bool, tmp_path: Path) -> None:
    between = [
        member(b"pax_global_header", record(b"comment=x") * 10_000, tarfile.XGLTYPE),
        header(b"folder.avro/", 0, tarfile.DIRTYPE),
        header(b"link.avro", 0, tarfile.SYMTYPE),
        member(b"././@LongLink", b"t" * LONG, tarfile.GNUTYPE_LONGLINK),
        header(b"link.avro", 0, tarfile.LNKTYPE),
        member(b".hidden.avro", b"x"),
        member(b"notes.txt", b"x" * 1000),
        member(b"odd.avro", b"x" * 600, b"Z"),
    ]
    assert [c.data for c in read(night(tmp_path, *between, packed=packed))] == list(GOOD.values())


def test_many_bad_members_are_counted(tmp_path: Path) -> None:
    found = read(night(tmp_path, *[member(b"\xff.avro", b"")] * 500, packed=True))
    assert [c.data for c in found if not c.problem] == list(GOOD.values())
    assert len(found) == 103
    assert found[-1].problem == "400 more files in it were passed over"


@pytest.mark.parametrize(
    "hostile",
    [
        [header(b"big.avro", 1 << 40)],
        [header(b"notes.txt", 1 << 40)],
        [header(b"less.avro", 0)[:124] + b"\xff" * 12 + header(b"less.avro", 0)[136:]],
        [member(b"x", record(b"size=99999999999"), tarfile.XHDTYPE), member(b"x.txt", b"data")],
        [header(b"x", 1 << 30, tarfile.XHDTYPE)],
        [b"nonsense" * 64],
    ],
    ids=["big", "big, not wanted", "less than nothing", "big, extended", "big header", "no header"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_that_cannot_be_read_on_says_so(hostile: list[bytes], packed: bool, tmp_path: Path) -> None:
    found = read(night(tmp_path, *hostile, packed=packed))
    assert found[0].data == GOOD["a.avro"]
    assert any("archive cannot be read" in c.problem for c in found[1:])


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archives_of_every_format_are_read_as_tarfile_reads_them(kind: int, mode: str, tmp_path: Path) -> None:
    names = [f"{'deep/' * 15}{number:03d}_{'n' * 80 if number % 2 else 'ß'}.avro" for number in range(50)]
    path = tmp_path / ("n.tar.gz" if mode == "w:gz" else "n.tar")
    with tarfile.open(path, mode, format=kind) as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name if kind != tarfile.USTAR_FORMAT or number % 2 == 0 else f"{number}.avro")
            info.size = number * 37
            info.mtime = 1.5 if kind == tarfile.PAX_FORMAT else 1
            archive.addfile(info, io.BytesIO(bytes([number]) * info.size))
    with tarfile.open(path) as archive:
        expected = [(i.name, archive.extractfile(i).read()) for i in archive]  # type: ignore[union-attr]
    assert [(m.name, m.data) for m in members(path, ".avro", 1 << 20)] == expected


@settings(max_examples=100, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5),
    st.one_of(st.none(), st.integers(0, 10**6)),
)
def test_a_damaged_archive_gives_members_or_an_archive_error(
    tmp_path_factory: pytest.TempPathFactory, packed: bool, edits: list[tuple[int, int]], cut: int | None
) -> None:
    extended = member(b"x", record(b"path=c.avro"), tarfile.XHDTYPE) + member(b"x.avro", b"data")
    path = night(tmp_path_factory.mktemp("damaged"), extended, packed=packed)
    data = bytearray(path.read_bytes())
    for place, value in edits:
        data[place % len(data)] = value
    path.write_bytes(data[: None if cut is None else cut % len(data)])
    try:
        found = list(members(path, ".avro", 1 << 20))
    except ArchiveError:
        return
    assert sum(len(m.data) for m in found) < 1 << 20


SCRIPT = """
import resource, sys
from boom_streams.ingest.files import ReadAhead, containers, find_sources
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
good = problems = 0
with ReadAhead(containers(find_sources(sys.argv[1:]))) as ahead:
    for group in ahead:
        good += sum(c.data in (b"first", b"last") for c in group)
        problems += sum(bool(c.problem) for c in group)
print(good, problems, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def large(path: Path, start: bytes, size: int) -> None:
    """Write an archive of two good files, and what begins with `start` and goes on with zeros between them."""
    with gzip.open(path, "wb", 1) as file:
        file.write(member(b"a.avro", b"first") + start)
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
        file.write(member(b"b.avro", b"last"))


@pytest.mark.parametrize(
    ("start", "problems"),
    [
        (header(b"big.avro", 200 << 20), 1),
        (header(b"x", 200 << 20, tarfile.XHDTYPE), 1),
        (header(b"x", 200 << 20, tarfile.GNUTYPE_LONGNAME), 1),
        (header(b"x", 200 << 20, tarfile.XGLTYPE), 0),
    ],
)
def test_what_an_archive_claims_takes_no_memory(start: bytes, problems: int, tmp_path: Path) -> None:
    large(tmp_path / "night.tar.gz", start, 200 << 20)
    assert (tmp_path / "night.tar.gz").stat().st_size < 1_500_000
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True, timeout=200
    )
    good, found, megabytes = map(int, done.stdout.split())
    # after an extended header that is passed over, the member that it belongs to is, too
    assert (good, found) == (1 if problems and b"big" not in start else 2, problems)
    assert megabytes < 100


def test_many_empty_members_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "night.tar.gz"
    path.write_bytes(gzip.compress(header(b"e.avro", 0) * 150_000 + bytes(1024), 9))
    assert path.stat().st_size < 3_000_000
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=True, timeout=200
    )
    assert int(done.stdout.split()[2]) < 200


def test_an_archive_that_becomes_very_large_is_read_no_further(tmp_path: Path) -> None:
    large(tmp_path / "night.tar.gz", header(b"x.txt", 400 << 20), 400 << 20)
    found = read(tmp_path)
    assert found[0].data == b"first"
    assert "it becomes more than" in found[1].problem


def test_real_hostile_archives(shared: Path, tmp_path: Path) -> None:
    bad, good = read(shared / "data/faults/badname.tar")
    assert (bad.data, "not UTF-8" in bad.problem) == (b"", True)
    assert bad.name.endswith(r"\xff\xfe.avro")
    assert (len(good.data), good.problem) == (79212, "")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = read(shared / "data/faults/longname.tar.gz")
    assert [c for c in found if c.problem]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_names_are_texts_that_can_be_shown() -> None:
    assert printable("night.avro") == "night.avro"
    assert printable(b"\xff\xfe.avro") == r"\xff\xfe.avro"
    assert printable("\udcff.avro") == r"\xff.avro"
    assert printable("n" * 10_000) == "n" * 200 + "…"
    assert printable("ß" * 10_000).encode()


def test_gzipped_containers_are_read_and_other_packings_named(tmp_path: Path) -> None:
    (tmp_path / "a.avro.gz").write_bytes(gzip.compress(b"first") + gzip.compress(b" half"))
    (tmp_path / "b.avro.zip").write_bytes(b"PK")
    (tmp_path / "c.tar.bz2").write_bytes(b"BZ")
    (tmp_path / "d.avro.gz").write_bytes(gzip.compress(b"cut off")[:-5])
    (tmp_path / "e.avro.gz").write_bytes(b"nonsense")
    (tmp_path / "f.avro").write_bytes(b"last")
    found = read(tmp_path)
    assert [c.data for c in found] == [b"first half", b"", b"", b"", b"", b"last"]
    problems = ["", "not read: unpack", "not read: unpack", "cannot be gunzipped", "cannot be gunzipped", ""]
    assert [c.problem[: len(p)] for c, p in zip(found, problems, strict=True)] == problems
    assert [Path(c.name).name[0] for c in found] == list("abcdef")


def test_a_gzipped_container_that_becomes_very_large_is_not_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.avro.gz", "wb", 1) as file:
        for _ in range(140):
            file.write(bytes(1 << 20))
    (found,) = read(tmp_path)
    assert (found.data, "larger than" in found.problem) == (b"", True)


def test_a_file_whose_name_is_not_utf8_is_read(tmp_path: Path) -> None:
    Path(tmp_path, "\udcff.avro").write_bytes(b"data")
    (found,) = read(tmp_path)
    assert (found.data, found.problem) == (b"data", "")
    assert found.name.encode().endswith(rb"\xff.avro")
