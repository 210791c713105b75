"""Downloads over HTTP: resumed where they were cut off, checked, and moved into place whole.

* ``FILE.part`` grows while it is downloaded, ``FILE.part.json`` says of what, so that a later run goes on with it
  x A server that cannot resume, or whose file has changed since (ETag, Last-Modified), starts it again
* What may pass (a lost connection, 429, 5xx) is tried again, from the start of the count after some bytes came
* ``FILE`` itself is there only when all of it is, and its size and sha256 are right where they are known

See RFC 9110, sections 13.1.5 (If-Range) and 14 (Range requests).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from boom_streams.errors import DownloadError

__all__ = ["Progress", "download", "sha256_of", "unreachable"]

#: Told of the bytes that are here, and of all bytes if that is known.
Progress = Callable[[int, int | None], None]

_PASSING = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_PAUSE = 30.0

#: What is served is what is stored: nothing is compressed on the way, or a rest would not fit to its beginning.
_HEADERS = {"User-Agent": "boom-streams", "Accept-Encoding": "identity"}


class _Passing(Exception):
    """What went wrong may be over at the next attempt."""


@dataclass(frozen=True, slots=True)
class _Start:
    """How a response begins: from which byte, how many bytes the whole file has, what tells that it is the same."""

    offset: int
    total: int | None
    validator: str | None


def download(
    url: str,
    file: Path,
    *,
    size: int | None = None,
    sha256: Collection[str] = (),
    progress: Progress = lambda done, total: None,
    timeout: float = 30.0,
    attempts: int = 4,
    pause: float = 1.0,
) -> Path:
    """Download a file, going on with what an earlier run has left.

    Parameters
    ----------
    url
        Address, http or https.
    file
        Where it is to be; its folder is made.
    size, sha256
        Bytes that it must have, and the checksums of which it must have one, where they are known.
    progress
        Told of the bytes after each piece.
    timeout
        Seconds without an answer after which an attempt has failed.
    attempts
        Attempts in a row before it is given up; one that brings something begins a new row.
    pause
        Seconds before the second attempt; twice as many before each further one.

    Returns
    -------
    Path
        ``file``.

    Raises
    ------
    DownloadError
        If it cannot be had or is not what it should be; the text names the address and what to do.
    """
    _check_address(url)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _part(file) as part:
            _fetch(url, part, size, progress, timeout, attempts, pause)
            part.flush()
            os.fsync(part.fileno())
            _check(url, Path(part.name), size, sha256)
            os.replace(part.name, file)
            _note(file).unlink(missing_ok=True)
    except OSError as error:
        raise DownloadError(f"{file} cannot be written: {error.strerror or error}") from None
    return file


def sha256_of(file: Path) -> str:
    """Checksum of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unreachable(url: str, seconds: float) -> str | None:
    """Why an address cannot be had within some seconds, None if it can.

    Unlike a time-out of sockets, the limit holds for looking up the name, too.
    """
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            httpx.head(url, headers=_HEADERS, timeout=seconds, follow_redirects=True).raise_for_status()
            outcome.append(None)
        except httpx.HTTPError as error:
            outcome.append(_reason(error))

    _check_address(url)
    thread = threading.Thread(target=ask, name="unreachable", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"no answer within {seconds:g} s"


def _check_address(url: str) -> None:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.scheme not in ("http", "https") or not address.host:
        raise DownloadError(f"{url} cannot be downloaded: only http:// and https:// addresses can")


@contextmanager
def _part(file: Path) -> Iterator[IO[bytes]]:
    """Open what is here of a file, for this process alone."""
    path = file.with_name(f"{file.name}.part")
    with path.open("a+b") as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError(f"{file} is being downloaded by another process; wait for it, or end it") from None
        if not path.exists() or os.fstat(part.fileno()).st_ino != path.stat().st_ino:
            raise DownloadError(f"{file} has just been downloaded by another process; try again")
        yield part


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}.part.json")


def _fetch(
    url: str, part: IO[bytes], size: int | None, progress: Progress, timeout: float, attempts: int, pause: float
) -> None:
    """Try until all is here."""
    row = _Row(part, attempts)
    retrying = Retrying(
        retry=retry_if_exception_type(_Passing),
        stop=row.is_over,
        wait=wait_exponential(multiplier=pause, max=max(pause, _LONGEST_PAUSE)),
        reraise=True,
    )
    try:
        retrying(_attempt, url, part, size, progress, timeout)
    except _Passing as problem:
        tried = f"tried {row.failed} times" if row.failed > 1 else "tried once"
        raise DownloadError(f"{url}: {problem} ({tried}); try again later, it goes on from there") from None


class _Row:
    """Counts attempts in a row that brought nothing; one that brings something begins a new row."""

    def __init__(self, part: IO[bytes], most: int) -> None:
        self._part = part
        self._most = most
        self._here = _length(part)
        self.failed = 0

    def is_over(self, state: RetryCallState) -> bool:
        """Whether that was the last attempt."""
        before, self._here = self._here, _length(self._part)
        self.failed = 1 if self._here > before else self.failed + 1
        state.attempt_number = self.failed  # the pauses begin anew, too
        return self.failed >= self._most


def _attempt(url: str, part: IO[bytes], size: int | None, progress: Progress, timeout: float) -> None:
    """Download what is missing, in one request."""
    try:
        with httpx.stream("GET", url, headers=_wanted(url, part), timeout=timeout, follow_redirects=True) as response:
            if response.is_success:
                start = _start(url, response, part, size)
                _copy(response, part, start, progress)
            else:
                _refused(url, response, part)
    except httpx.UnsupportedProtocol as error:
        raise DownloadError(f"{url} leads to what is no web address: {error}") from None
    except httpx.TransportError as error:
        raise _Passing(_reason(error)) from None
    except httpx.HTTPError as error:
        raise DownloadError(f"{url}: {error}") from None


def _wanted(url: str, part: IO[bytes]) -> dict[str, str]:
    """Ask for the rest, if what is here is of this address and can be told from a changed file; else for all."""
    validator = _read_note(part).get(url)
    if validator and _length(part):
        return {**_HEADERS, "Range": f"bytes={_length(part)}-", "If-Range": validator}
    return _HEADERS


def _start(url: str, response: httpx.Response, part: IO[bytes], size: int | None) -> _Start:
    """Understand the answer; what is here and does not belong to it is dropped."""
    start = _resumed(response) if response.status_code == httpx.codes.PARTIAL_CONTENT else _whole(response)
    if size is not None and start.total not in (None, size):
        raise DownloadError(f"{url} has {start.total} bytes, not the {size} that are expected: it is another file")
    if start.offset != _length(part):
        part.truncate(0)
        _note_of(part).unlink(missing_ok=True)
        if start.offset:
            raise _Passing(f"it was resumed at byte {start.offset}, not where it ended")
    if start.validator:
        _note_of(part).write_text(json.dumps({url: start.validator}))
    return start


def _whole(response: httpx.Response) -> _Start:
    length = response.headers.get("Content-Length", "")
    return _Start(0, int(length) if length.isdigit() else None, _validator(response.headers))


def _resumed(response: httpx.Response) -> _Start:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if match is None:
        return _Start(-1, None, None)
    return _Start(int(match[1]), int(match[2]) if match[2] != "*" else None, _validator(response.headers))


def _validator(headers: Mapping[str, str]) -> str | None:
    """What tells that a file is the same, as If-Range takes it: an ETag that is not weak, else its time."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _copy(response: httpx.Response, part: IO[bytes], start: _Start, progress: Progress) -> None:
    done = start.offset
    progress(done, start.total)
    try:
        for piece in response.iter_raw():
            part.write(piece)
            done += len(piece)
            progress(done, start.total)
    except httpx.RemoteProtocolError:
        raise _Passing(f"the connection ended after {done} of {start.total} bytes") from None


def _refused(url: str, response: httpx.Response, part: IO[bytes]) -> None:
    """Tell what an error status means; nothing is wrong if all is here already."""
    status = response.status_code
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and _length(part):
        total = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", "").strip())
        if total and int(total[1]) == _length(part):
            return
        part.truncate(0)
        raise _Passing("what was here is longer than the file")
    if status in _PASSING:
        raise _Passing(f"the server answered {status} {response.reason_phrase}")
    raise DownloadError(f"{url}: the server answered {status} {response.reason_phrase}; is the address right?")


def _check(url: str, part: Path, size: int | None, sha256: Collection[str]) -> None:
    """Drop what is not what it should be."""
    found = part.stat().st_size
    problem = ""
    if size is not None and found != size:
        problem = f"has {found} bytes, not {size}"
    elif sha256 and (digest := sha256_of(part)) not in sha256:
        problem = f"has the sha256 {digest}, not {' or '.join(sha256)}"
    if problem:
        part.unlink()
        part.with_name(f"{part.name}.json").unlink(missing_ok=True)
        raise DownloadError(f"{url} {problem}: it is damaged, or another file, and was not kept")


def _reason(error: httpx.HTTPError) -> str:
    return f"no answer: {str(error) or type(error).__name__}"


def _length(part: IO[bytes]) -> int:
    return part.seek(0, os.SEEK_END)


def _note_of(part: IO[bytes]) -> Path:
    return Path(f"{part.name}.json")


def _read_note(part: IO[bytes]) -> dict[str, str]:
    try:
        note = json.loads(_note_of(part).read_text())
        return note if isinstance(note, dict) else {}
    except (OSError, ValueError):
        return {}
