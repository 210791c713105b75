"""Downloads, from a real server with the faults that servers have."""

from __future__ import annotations

import fcntl
import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boom_streams.errors import DownloadError
from boom_streams.ingest.download import download, sha256_of, unreachable
from tests.support.http_server import Server, serving

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(night=CONTENT) as running:
        yield running


def get(server: Server, folder: Path, **options: Any) -> Path:
    return download(f"{server.address}night", folder / "sub" / "night", **({"pause": 0.001} | options))


def ranges(server: Server) -> list[str | None]:
    return [asked for _, _, asked in server.asked]


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in (folder / "sub").iterdir()}


def test_whole_and_checked_with_progress(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    file = get(
        server, tmp_path, size=len(CONTENT), sha256=[SHA256], progress=lambda done, total: told.append((done, total))
    )
    assert file.read_bytes() == CONTENT
    assert sha256_of(file) == SHA256
    assert (told[0], told[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
    assert leftovers(tmp_path) == {"night"}


def test_goes_on_where_the_connection_ended(server: Server, tmp_path: Path) -> None:
    server.cut = [1000, 5000, 0, 7]
    assert get(server, tmp_path, attempts=3).read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000-", "bytes=6000-", "bytes=6000-", "bytes=6007-"]


def test_a_later_run_goes_on(server: Server, tmp_path: Path) -> None:
    server.cut = [1000]
    with pytest.raises(DownloadError, match=r"the connection ended after 1000 of 1024000 bytes .tried once.; try"):
        get(server, tmp_path, attempts=1)
    assert leftovers(tmp_path) == {"night.part", "night.part.json"}
    assert get(server, tmp_path, sha256=[SHA256]).read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000-"]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.cut, server.ranges = [1000], False
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000-"]


def test_a_file_that_cannot_be_told_from_a_changed_one_starts_again(server: Server, tmp_path: Path) -> None:
    server.cut, server.tag = [1000], None
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert ranges(server) == [None, None]


def test_a_changed_file_starts_again(server: Server, tmp_path: Path) -> None:
    server.cut = [1000]
    with pytest.raises(DownloadError):
        get(server, tmp_path, attempts=1)
    server.files["night"], server.tag = CONTENT[::-1], '"2"'
    assert get(server, tmp_path).read_bytes() == CONTENT[::-1]


def test_what_is_here_of_another_address_is_not_used(server: Server, tmp_path: Path) -> None:
    server.files["other"] = b"other"
    server.cut = [1000]
    with pytest.raises(DownloadError):
        get(server, tmp_path, attempts=1)
    download(f"{server.address}other", tmp_path / "sub/night")
    assert (tmp_path / "sub/night").read_bytes() == b"other"


def test_a_part_that_is_whole_is_moved_into_place(server: Server, tmp_path: Path) -> None:
    server.cut = [1000]
    with pytest.raises(DownloadError):
        get(server, tmp_path, attempts=1)
    (tmp_path / "sub/night.part").write_bytes(CONTENT)
    assert get(server, tmp_path, sha256=[SHA256]).read_bytes() == CONTENT


def test_a_part_that_is_too_long_starts_again(server: Server, tmp_path: Path) -> None:
    server.cut = [1000]
    with pytest.raises(DownloadError):
        get(server, tmp_path, attempts=1)
    (tmp_path / "sub/night.part").write_bytes(CONTENT + b"more")
    assert get(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sha256": ["0" * 64]}, f"has the sha256 {SHA256}, not 000"),
        ({"size": 5}, "has 1024000 bytes, not the 5 that are expected"),
    ],
)
def test_what_is_not_what_it_should_be_is_not_kept(
    server: Server, tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(DownloadError, match=text):
        get(server, tmp_path, **options)
    assert not (tmp_path / "sub/night").exists()


def test_a_wrong_file_does_not_replace_the_one_that_is_there(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "sub/night"
    file.parent.mkdir()
    file.write_bytes(b"good")
    with pytest.raises(DownloadError):
        get(server, tmp_path, sha256=["0" * 64])
    assert (file.read_bytes(), leftovers(tmp_path)) == (b"good", {"night"})


def test_what_may_pass_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429, 500]
    assert get(server, tmp_path).read_bytes() == CONTENT
    server.statuses = [503] * 3
    with pytest.raises(DownloadError, match=r"503 Service Unavailable .tried 3 times.; try again later"):
        get(server, tmp_path, attempts=3)


def test_what_is_not_there_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"127.0.0.1:\d+/absent: the server answered 404 Not Found; is the address"):
        download(f"{server.address}absent", tmp_path / "absent")
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "127.0.0.1", "http://"])
def test_only_http(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="only http:// and https://"):
        download(url, tmp_path / "x")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirection_leads_to_http_only(server: Server, tmp_path: Path, target: str) -> None:
    server.redirect = target
    with pytest.raises(DownloadError):
        get(server, tmp_path, attempts=1)


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        with pytest.raises(DownloadError, match=r"no answer: .*refused"):
            download(url, tmp_path / "x", attempts=2, pause=0.001)
        assert "refused" in (unreachable(url, 1) or "")


def test_reachable_or_why_not(server: Server) -> None:
    assert unreachable(f"{server.address}night", 5) is None
    assert "Not Found" in (unreachable(f"{server.address}absent", 5) or "")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        assert "no answer" in (unreachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.2) or "")
        assert time.monotonic() - start < 2


def test_two_at_once(server: Server, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with (tmp_path / "sub/night.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="by another process"):
            get(server, tmp_path)


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("a file")
    with pytest.raises(DownloadError, match="cannot be written"):
        get(server, tmp_path)
