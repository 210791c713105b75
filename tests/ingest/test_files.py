"""Reading archived alerts: order, archives, broken files, memory."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boom_streams.errors import BoomError
from boom_streams.ingest.files import Container, ReadAhead, containers, find_sources


def tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def read(*paths: Path) -> list[Container]:
    return list(containers(find_sources(paths)))


def test_folders_are_searched_recursively_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b/2.avro", "b/1.avro", "a/9.avro", "b/notes.txt", "b/._1.avro"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert [c.data for c in read(tmp_path)] == [b"a/9.avro", b"b/1.avro", b"b/2.avro"]


@pytest.mark.parametrize(("name", "mode"), [("n.tar", "w"), ("n.tar.gz", "w:gz"), ("n.tgz", "w:gz")])
def test_archives_are_read_in_place(tmp_path: Path, name: str, mode: str) -> None:
    path = tar(tmp_path / name, {"x/1.avro": b"one", "readme": b"no", "2.avro": b"two"}, mode)
    found = [(c.name, c.data) for c in read(path)]
    assert found == [(f"{path}:x/1.avro", b"one"), (f"{path}:2.avro", b"two")]
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_members_with_hostile_names_and_links_touch_nothing(tmp_path: Path) -> None:
    outside = tmp_path / "secret.avro"
    outside.write_bytes(b"secret")
    path = tmp_path / "in" / "night.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("../../evil.avro")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"evil"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo("link.avro")
            link.type, link.linkname = kind, str(outside)
            archive.addfile(link)
    assert [c.data for c in read(path)] == [b"evil"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "night.tar", "secret.avro"]


def test_an_archive_cut_off_keeps_what_came_before_and_says_so(tmp_path: Path) -> None:
    path = tar(tmp_path / "n.tar.gz", {f"{i}.avro": bytes(range(256)) * 40 for i in range(40)})
    path.write_bytes(path.read_bytes()[:-200])
    found = read(path)
    assert [c.problem for c in found[:10]] == [""] * 10
    assert found[-1].problem
    assert all(c.data == bytes(range(256)) * 40 for c in found if not c.problem)


def test_a_file_that_is_no_archive_is_a_problem_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"no archive at all")
    (tmp_path / "b.avro").write_bytes(b"next")
    first, second = read(tmp_path)
    assert "archive cannot be read" in first.problem
    assert (second.data, second.problem) == (b"next", "")


@pytest.mark.parametrize("name", ["absent", "absent.avro"])
def test_a_path_that_is_absent_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BoomError, match=f"no such file or folder: .*{name}"):
        find_sources([tmp_path / name])


def test_a_folder_without_alerts_and_another_kind_of_file_are_errors(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(BoomError, match=r"no \.avro"):
        find_sources([tmp_path])
    with pytest.raises(BoomError, match=r"notes\.txt is neither"):
        find_sources([tmp_path / "notes.txt"])


def test_consumed_bytes_reach_the_total(tmp_path: Path) -> None:
    (tmp_path / "a.avro").write_bytes(b"x" * 1000)
    tar(tmp_path / "b.tar", {"1.avro": b"y" * 50_000, "2.avro": b"y"}, "w")
    sources = find_sources([tmp_path])
    found = [c.consumed for c in containers(sources)]
    assert found == sorted(found)
    assert 51_000 < found[-1] <= sum(source.size for source in sources)


def test_reading_ahead_keeps_the_order_and_stays_within_its_memory() -> None:
    handed_out = 0

    def endless() -> Iterator[Container]:
        nonlocal handed_out
        while True:
            yield Container(str(handed_out), b"x" * (1 << 20))
            handed_out += 1

    names = []
    with ReadAhead(endless(), max_bytes=16 << 20) as ahead:
        for group in ahead:
            time.sleep(0.05)  # let the reader run as far ahead as it may
            names += [int(container.name) for container in group]
            assert handed_out - len(names) <= 16 + 2 * 4 + 1
            if len(names) > 40:
                break
    assert names == list(range(len(names)))
    assert "read-ahead" not in [thread.name for thread in threading.enumerate()]


def test_an_error_while_reading_reaches_the_reader() -> None:
    def broken() -> Iterator[Container]:
        yield Container("a", b"x")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"), ReadAhead(broken()) as ahead:
        list(ahead)
