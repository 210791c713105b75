"""Archived alerts: Avro files, gzipped or not, folders of them, and tar archives, read ahead within bounded memory."""

from __future__ import annotations

import gzip
import os
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from boom_streams.errors import BoomError
from boom_streams.ingest.archives import ArchiveError, members, printable

__all__ = ["Container", "ReadAhead", "Source", "containers", "find_sources"]

#: A container larger than this is not read, bytes.
MAX_CONTAINER = 1 << 30

#: One that lies packed in another file is not read if it is larger than this: a small file may claim to hold much.
MAX_UNPACKED = 128 << 20

#: Containers are handed over in groups of about this many bytes: what follows is faster on many.
_GROUP = 4 << 20

#: What a container takes beside its bytes, about.
_CONTAINER = 1 << 10

#: Most lines about files in one archive that are passed over.
_MAX_PROBLEMS = 100

_ARCHIVES = (".tar", ".tar.gz", ".tgz")
_MAX_PATH = 4096  # bytes, what Linux allows
_READ = (".avro", ".avro.gz", *_ARCHIVES)
#: What holds alerts, as their names say, but is not read here.
_PACKED = tuple(
    f"{kind}.{packing}" for kind in (".avro", ".tar") for packing in ("zip", "bz2", "xz", "zst", "lz4", "7z", "z")
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to replay: an Avro container or an archive of them."""

    path: Path
    size: int

    @property
    def archive(self) -> bool:
        """Whether it is a tar archive."""
        return self.path.name.lower().endswith(_ARCHIVES)


@dataclass(frozen=True, slots=True)
class Container:
    """One Avro object container, or the reason why there is none.

    Attributes
    ----------
    name
        File, or ``archive:member``.
    data
        Bytes of the container.
    problem
        Why it could not be read; empty if it could.
    consumed
        Bytes of the sources that have been read so far, for a progress bar.
    """

    name: str
    data: bytes
    problem: str = ""
    consumed: int = 0


def find_sources(paths: Iterable[str | Path]) -> list[Source]:
    """Find the Avro files and tar archives in folders (recursively, in sorted order) and among files.

    Those that are packed in a way that is not read here are among them, so that `containers` names them.

    Raises
    ------
    BoomError
        If a path does not exist, a named file is neither, or a folder has none.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = [Path(folder, name) for folder, _, files in os.walk(path) for name in files]
            chosen = sorted(file for file in inside if _wanted(file.name))
            if not chosen:
                raise BoomError(f"no .avro, .avro.gz, .tar or .tar.gz file in the folder {path}")
            found += chosen
        elif not path.exists():
            raise BoomError(f"no such file or folder: {path}")
        elif not _wanted(path.name):
            raise BoomError(f"{path} is neither a folder, an .avro or .avro.gz file, nor a .tar or .tar.gz archive")
        else:
            found.append(path)
    return [Source(path, path.stat().st_size) for path in found if path.is_file()]


def containers(sources: Iterable[Source]) -> Iterator[Container]:
    """Read sources one container at a time; archives are streamed, and their members never written.

    A file or an archive that cannot be read gives a container with a ``problem``, and the next one follows.
    """
    consumed = 0
    for source in sources:
        if source.archive:
            yield from _members(source, consumed)
            consumed += source.size
            continue
        consumed += source.size
        name = printable(str(source.path), _MAX_PATH)
        if name.lower().endswith(_PACKED):
            yield Container(name, b"", "not read: unpack it first, or pack it with gzip", consumed)
            continue
        if source.size > MAX_CONTAINER:
            yield Container(name, b"", f"larger than {MAX_CONTAINER} bytes", consumed)
            continue
        data, problem = _gunzipped(source) if name.lower().endswith(".gz") else _plain(source)
        yield Container(name, data, problem, consumed)


def _plain(source: Source) -> tuple[bytes, str]:
    """Bytes of a container, or what is wrong with it."""
    try:
        return source.path.read_bytes(), ""
    except OSError as error:
        return b"", f"cannot be read: {error.strerror}"


def _members(source: Source, before: int) -> Iterator[Container]:
    """Avro containers in a tar archive, and a line for each that is passed over, up to a number of them."""
    where, problems = printable(str(source.path), _MAX_PATH), 0
    end = before + source.size
    try:
        for member in members(source.path, ".avro", MAX_UNPACKED):
            problems += bool(member.problem)
            if problems <= _MAX_PROBLEMS or not member.problem:
                yield Container(f"{where}:{member.name}", member.data, member.problem, before + member.consumed)
    except ArchiveError as error:
        yield Container(where, b"", f"archive cannot be read: {error}", end)
    if problems > _MAX_PROBLEMS:
        yield Container(where, b"", f"{problems - _MAX_PROBLEMS} more files in it were passed over", end)


def _gunzipped(source: Source) -> tuple[bytes, str]:
    """Bytes of a gzipped container, or what is wrong with it."""
    try:
        with gzip.open(source.path) as file:
            data = file.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        return b"", f"cannot be gunzipped: {error}"
    return (data, "") if len(data) <= MAX_UNPACKED else (b"", f"larger than {MAX_UNPACKED} bytes")


def _wanted(name: str) -> bool:
    return name.lower().endswith((*_READ, *_PACKED)) and not name.startswith(".")


@dataclass(slots=True)
class ReadAhead:
    """Reads containers in a thread, ahead of their use, holding at most about ``max_bytes`` of them.

    Gives them in groups of about 4 MB. Iterate within ``with``: leaving the block ends the thread.
    """

    source: Iterable[Container]
    max_bytes: int = 64 << 20
    _ready: deque[list[Container]] = field(init=False, default_factory=deque)
    _bytes: int = field(init=False, default=0)
    _done: bool = field(init=False, default=False)
    _error: BaseException | None = field(init=False, default=None)
    _changed: threading.Condition = field(init=False, default_factory=threading.Condition)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._done = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join()

    def __iter__(self) -> Iterator[list[Container]]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._done)
                if not self._ready:
                    break
                group = self._ready.popleft()
                self._bytes -= _size(group)
                self._changed.notify_all()
            yield group
        if self._error is not None:
            raise self._error

    def _read(self) -> None:
        group: list[Container] = []
        size = 0
        try:
            for container in self.source:
                group.append(container)
                size += _size([container])
                if size >= _GROUP:
                    if not self._hand_over(group):
                        return
                    group, size = [], 0
            self._hand_over(group)
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _hand_over(self, group: list[Container]) -> bool:
        """Queue a group when there is room; False if nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._done or self._bytes < self.max_bytes)
            if self._done:
                return False
            if group:
                self._ready.append(group)
                self._bytes += _size(group)
                self._changed.notify_all()
            return True


def _size(group: Sequence[Container]) -> int:
    return sum(len(container.data) + _CONTAINER for container in group)
