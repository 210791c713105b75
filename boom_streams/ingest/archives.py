"""Members of tar archives, streamed: nothing in an archive decides how much memory is taken.

* tarfile reads the headers; names and extended headers beyond a size, sparse files and chains of headers, which it
  would take into memory whole, are passed over here, each with a reason
* An archive's members are never written, and links in it are never followed
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["ArchiveError", "Member", "members", "printable"]

_BLOCK = 512
_MAX_NAME = 64 << 10  # bytes of a member's name or extended header
_PART = 1 << 20
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_DATA = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)


def _most(size: int) -> int:
    """Most bytes that an archive may become, gunzipped; alerts become twice as many, at most."""
    return (256 << 20) + 50 * size


class ArchiveError(Exception):
    """The archive cannot be read on."""


class Member(NamedTuple):
    """A file in an archive, or the reason why it is passed over.

    Attributes
    ----------
    consumed
        Bytes of the archive read so far.
    """

    name: str
    data: bytes
    problem: str
    consumed: int


@dataclass(slots=True)
class _Ahead:
    """What extended headers say of the member that follows."""

    name: bytes | None = None
    size: int | None = None
    problem: str = ""
    sparse: bool = False


def printable(name: str | bytes, most: int = 200) -> str:
    """A name as a text that can be shown and sent: at most so many bytes of it, what is not UTF-8 written out."""
    raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    text = raw[:most].decode("utf-8", "backslashreplace")
    return text if len(raw) <= most else f"{text}…"


def members(path: Path, suffix: str, max_size: int) -> Iterator[Member]:
    """Give the files in an archive whose names end with `suffix`, and those that cannot be read, with the reason.

    Parameters
    ----------
    path
        A tar archive, gzipped or not.
    suffix
        In lower case; hidden files are passed over.
    max_size
        Largest file that is read, bytes.

    Raises
    ------
    ArchiveError
        If it is no archive, or damaged: what came before stands.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
            yield from _Tar(stream, file, path.stat().st_size).members(suffix, max_size)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ArchiveError(str(error)) from None


@dataclass(slots=True)
class _Tar:
    """A tar archive, read from its start to its end."""

    stream: IO[bytes]
    file: IO[bytes]
    size: int
    _ahead: _Ahead = field(default_factory=_Ahead)

    def members(self, suffix: str, max_size: int) -> Iterator[Member]:
        """Give the files whose names end with `suffix`."""
        for info, block in self._headers():
            if info.type in (*_LONG_NAMES, *_EXTENDED, tarfile.XGLTYPE):
                self._look_ahead(info)
                continue
            ahead, self._ahead = self._ahead, _Ahead()
            if info.type in _WITHOUT_DATA:
                continue
            name = info.name.encode("utf-8", "surrogateescape") if ahead.name is None else ahead.name
            size = info.size if ahead.size is None else ahead.size
            sparse = ahead.sparse or info.type == tarfile.GNUTYPE_SPARSE
            if info.type == tarfile.GNUTYPE_SPARSE:
                self._skip_sparse(block)
            wanted = info.type in (*_REGULAR, tarfile.GNUTYPE_SPARSE) and _is_wanted(name, suffix)
            if not wanted and not ahead.problem:
                self._skip(size)
                continue
            problem = ahead.problem or _problem(name, size, max_size, sparse)
            if problem:
                self._skip(size)
                yield Member(printable(name), b"", problem, self.file.tell())
                continue
            data = self._read(size)
            problem = "" if len(data) == size else "cut off: the archive ends within it"
            yield Member(printable(name), data, problem, self.file.tell())

    def _headers(self) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        """Yield headers and their blocks; who takes one reads or skips what follows it, with its padding."""
        first = True
        while block := self.stream.read(_BLOCK):
            self._check()
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                if block.count(0) == len(block) == _BLOCK:
                    return
                raise tarfile.ReadError("it is no tar archive" if first else f"damaged: {error}") from None
            if info.size < 0:
                raise tarfile.ReadError("damaged: a file of less than nothing")
            yield info, block
            first = False
        if first:
            raise tarfile.ReadError("it is empty")

    def _check(self) -> None:
        if self.stream.tell() > _most(self.size):
            raise tarfile.ReadError(f"it becomes more than {_most(self.size)} bytes")

    def _look_ahead(self, info: tarfile.TarInfo) -> None:
        """Take what a header says of the member that follows; global ones, and names of links, say nothing of it."""
        if info.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            self._skip(info.size)
            return
        if info.size > _MAX_NAME:
            self._ahead.problem = f"passed over: its name, or what comes with it, has {info.size} bytes"
            self._skip(info.size)
            return
        data = self._read(info.size)
        if info.type == tarfile.GNUTYPE_LONGNAME:
            self._ahead.name = data.partition(b"\0")[0]
            return
        for keyword, value in _records(data):
            if keyword == b"path":
                self._ahead.name = value.rstrip(b"/")
            elif keyword == b"size" and value.isdigit() and len(value) < 20:
                self._ahead.size = int(value)
            elif keyword.startswith(b"GNU.sparse."):
                self._ahead.sparse = True

    def _skip_sparse(self, block: bytes) -> None:
        """Pass over the further headers of a sparse file."""
        more = block[482]
        while more:
            block = self.stream.read(_BLOCK)
            self._check()
            more = len(block) == _BLOCK and block[504]

    def _read(self, size: int) -> bytes:
        """Read a member's bytes, and pass over the padding; fewer, where the archive ends."""
        data = io.BytesIO()
        try:
            while (left := size - data.tell()) > 0 and (part := self.stream.read(min(left, _PART))):
                data.write(part)
        except (EOFError, zlib.error, OSError):
            if not data.tell():
                raise
        if data.tell() == size:
            self.stream.read(-size % _BLOCK)
        return data.getvalue()

    def _skip(self, size: int) -> None:
        """Pass over a member's bytes and the padding."""
        if self.stream is self.file:
            if self.file.tell() + size > self.size:
                raise tarfile.ReadError("cut off: it ends within a file")
            self.file.seek(size + -size % _BLOCK, io.SEEK_CUR)
            return
        while size > 0:
            part = self.stream.read(min(size + -size % _BLOCK, _PART))
            self._check()
            if not part:
                raise tarfile.ReadError("cut off: it ends within a file")
            size -= len(part)


def _is_wanted(name: bytes, suffix: str) -> bool:
    last = name.rpartition(b"/")[2].lower()
    return last.endswith(suffix.encode()) and not last.startswith(b".")


def _problem(name: bytes, size: int, max_size: int, sparse: bool) -> str:
    """Why a file is passed over; empty if it is not."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return "passed over: its name is not UTF-8"
    if sparse:
        return "passed over: a sparse file"
    return f"passed over: larger than {max_size} bytes" if size > max_size else ""


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keywords and values of an extended header: ``24 path=a/name.avro`` and a new line, by their lengths."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        length = data[at:space] if space > 0 else b""
        if not length.isdigit() or not len(length) + 2 <= int(length) <= len(data) - at:
            return
        keyword, _, value = data[space + 1 : at + int(length) - 1].partition(b"=")
        yield keyword, value
        at += int(length)
