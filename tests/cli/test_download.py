"""`boom-streams download`: nights, from a mirror on this machine."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from boom_streams.cli import cli
from boom_streams.ingest.ztf_nights import archive_name
from boom_streams.settings import current_settings
from tests.support.http_server import Server, serving

NIGHT = "ztf_public_20240617.tar.gz"


def archive(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as members:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{name}.avro")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    current_settings.cache_clear()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("BOOM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    with serving() as server:
        server.files = {f"ztf/{NIGHT}": archive(a=b"alert")}
        yield server
    current_settings.cache_clear()


def run(server: Server, night: str = "20240617", *words: str) -> Result:
    return CliRunner().invoke(cli, ["download", "ztf", night, "--from", f"{server.address}ztf", *words])


def test_a_night_is_downloaded_once(mirror: Server, tmp_path: Path) -> None:
    for _ in range(2):
        done = run(mirror)
        assert (done.exit_code, done.output) == (0, f"{tmp_path}/data/nights/{NIGHT}\n")
    assert (tmp_path / "data/nights" / NIGHT).read_bytes() == mirror.files[f"ztf/{NIGHT}"]
    assert len(mirror.asked) == 1


def test_into_a_folder(mirror: Server, tmp_path: Path) -> None:
    assert run(mirror, "20240617", "--folder", "here").output == f"here/{NIGHT}\n"
    assert (tmp_path / "here" / NIGHT).is_file()


def test_a_night_without_alerts_is_told(mirror: Server) -> None:
    mirror.files[f"ztf/{NIGHT}"] = archive()
    done = run(mirror)
    assert done.exit_code == 0
    assert "no alerts of the night 20240617" in done.stderr
    assert done.stdout.endswith(f"{NIGHT}\n")


@pytest.mark.parametrize(
    "content", [b"", b"<html>", archive(a=b"alert" * 9)[:30]], ids=["nothing", "a page", "the beginning of one"]
)
def test_what_is_no_archive_is_not_kept(mirror: Server, tmp_path: Path, content: bytes) -> None:
    mirror.files[f"ztf/{NIGHT}"] = content
    done = run(mirror)
    assert done.exit_code == 1
    assert "is no readable tar.gz archive" in done.output
    assert list((tmp_path / "data/nights").iterdir()) == []


def test_a_night_that_is_not_there(mirror: Server) -> None:
    done = run(mirror, "20240618")
    assert done.exit_code == 1
    assert "404 Not Found" in done.output


@pytest.mark.parametrize("night", ["2024-06-17", "20241317", "today", "202406 7", "2024061", "../../x1"])
def test_what_is_no_night(mirror: Server, night: str) -> None:
    done = run(mirror, night)
    assert (done.exit_code, "is no night; write its date" in done.output) == (1, True)
    assert mirror.asked == []


def test_names_are_those_of_the_archive() -> None:
    assert archive_name("20240617") == NIGHT
