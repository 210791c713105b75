"""Archived alerts: Avro files, folders of them, and tar archives, read ahead within bounded memory."""

from __future__ import annotations

import os
import tarfile
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from boom_streams.errors import BoomError

__all__ = ["Container", "ReadAhead", "Source", "containers", "find_sources"]

#: A container larger than this is not read, bytes.
MAX_CONTAINER = 1 << 30

#: Containers are handed over in groups of about this many bytes: what follows is faster on many.
_GROUP = 4 << 20

_ARCHIVES = (".tar", ".tar.gz", ".tgz")


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
                raise BoomError(f"no .avro, .tar or .tar.gz file in the folder {path}")
            found += chosen
        elif not path.exists():
            raise BoomError(f"no such file or folder: {path}")
        elif not _wanted(path.name):
            raise BoomError(f"{path} is neither a folder, an .avro file, nor a .tar or .tar.gz archive")
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
        if source.size > MAX_CONTAINER:
            yield Container(str(source.path), b"", f"larger than {MAX_CONTAINER} bytes", consumed)
            continue
        try:
            yield Container(str(source.path), source.path.read_bytes(), "", consumed)
        except OSError as error:
            yield Container(str(source.path), b"", f"cannot be read: {error.strerror}", consumed)


def _members(source: Source, before: int) -> Iterator[Container]:
    """Avro containers in a tar archive; links, folders and hidden files in it are passed over."""
    try:
        with source.path.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                name = f"{source.path}:{member.name}"
                if not (member.isreg() and _wanted(os.path.basename(member.name), (".avro",))):
                    continue
                at = before + file.tell()
                if member.size > MAX_CONTAINER:
                    yield Container(name, b"", f"larger than {MAX_CONTAINER} bytes", at)
                    continue
                stream = archive.extractfile(member)
                data = stream.read() if stream is not None else b""
                if len(data) < member.size:
                    yield Container(name, data, "cut off: the archive ends within it", at)
                else:
                    yield Container(name, data, "", at)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        yield Container(str(source.path), b"", f"archive cannot be read: {error}", before + source.size)


def _wanted(name: str, suffixes: Sequence[str] = (".avro", *_ARCHIVES)) -> bool:
    return name.lower().endswith(tuple(suffixes)) and not name.startswith(".")


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
                size += len(container.data)
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
    return sum(len(container.data) for container in group)
