"""The night of a demo that names none: from the archive, or made up."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boom_streams.demo.night import find_night
from boom_streams.ingest.files import find_sources
from boom_streams.ingest.ztf_nights import archive_name
from boom_streams.synthetic import make_night
from tests.cli.test_download import archive
from tests.support.http_server import Server, serving

NAME = archive_name("20240617")


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("boom_streams.demo.night.make_night", lambda folder: make_night(folder, 5))
    with serving() as server:
        server.files = {NAME: archive(a=b"alert")}
        yield server


def test_the_archive_is_taken_once(mirror: Server, tmp_path: Path) -> None:
    night = find_night(tmp_path, mirror.address)
    assert (night.path, night.catalogs) == (tmp_path / "nights" / NAME, None)
    assert "20240617 of the public ZTF archive: " in night.told
    asked = len(mirror.asked)
    assert find_night(tmp_path, mirror.address) == night
    assert len(mirror.asked) == asked


@pytest.mark.parametrize(
    ("files", "why"),
    [({}, "404|Not Found"), ({NAME: archive()}, "has no alerts"), ({NAME: b"<html>"}, "no readable tar.gz")],
)
def test_without_the_archive_one_is_made_up(mirror: Server, tmp_path: Path, files: dict[str, bytes], why: str) -> None:
    mirror.files = files
    night = find_night(tmp_path, mirror.address)
    assert night.path == tmp_path / "nights" / "synthetic"
    assert night.told.startswith(f"a synthetic night: {night.path} (")
    assert any(part in night.told for part in why.split("|"))
    assert len([source for source in find_sources([night.path]) if source.path.suffix == ".avro"]) == 5
    assert night.catalogs is not None
    assert len(list(night.catalogs.glob("*.parquet"))) == 6
    before = (night.path / "truth.csv").stat().st_mtime_ns
    assert find_night(tmp_path, mirror.address).path == night.path
    assert (night.path / "truth.csv").stat().st_mtime_ns == before


def test_what_an_interrupted_run_has_left_is_made_again(mirror: Server, tmp_path: Path) -> None:
    mirror.files = {}
    (tmp_path / "nights/synthetic.part").mkdir(parents=True)
    (tmp_path / "nights/synthetic.part/1.avro").write_bytes(b"half")
    night = find_night(tmp_path, mirror.address)
    assert len(list(night.path.glob("*.avro"))) == 5
    assert not (tmp_path / "nights/synthetic.part").exists()


def test_a_network_that_does_not_answer_costs_little(mirror: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        night = find_night(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", patience=0.3)
        assert time.monotonic() - start < 5
    assert "no answer" in night.told
