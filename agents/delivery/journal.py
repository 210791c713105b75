"""Which records were in hand when the process died: the way to find a record that kills it."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path

from boom_streams.agents.delivery.watchdog import before_end
from boom_streams.errors import SettingsError, StoreError

__all__ = ["Journal"]

log = logging.getLogger(__name__)

#: Deaths of the process with a record in hand after which that record is handled alone.
DEATHS = 3

#: Names that are remembered; more are of records that other workers have handled by now.
REMEMBERED = 2000


class Journal:
    """A small file beside RocksDB with the records in hand, read when the process starts again.

    One for all stages of a process. A record in hand at three deaths is *suspect*: it is tried alone, while
    nothing else is in hand. One that was alone in hand when the process died again is *deadly*: it becomes a
    dead letter without being tried. A process that is ended for another reason takes all records out of hand first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._in_hand: set[str] = set()
        self._deaths: dict[str, int] = {}
        self._deadly: set[str] = set()
        self._alone = False
        self._changed = asyncio.Condition()

    def open(self) -> None:
        """Read what the last process left; only a worker does, not another command that loads the app.

        Raises
        ------
        SettingsError
            If the folder cannot be written.
        StoreError
            If the disk is full.
        """
        if self._file is not None:
            return
        self._read()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SettingsError(
                f"cannot write {self._path}: {error.strerror}; set APP_DATADIR to a folder of this worker"
            ) from None
        self._write()
        before_end(self.excuse)

    @asynccontextmanager
    async def hand(self, names: Sequence[str], *, alone: bool = False) -> AsyncIterator[None]:
        """Records are in hand within: a death of the process there may be their fault.

        Parameters
        ----------
        names
            Identities of the records.
        alone
            Wait until nothing else is in hand, and have others wait meanwhile.

        Raises
        ------
        StoreError
            If the file cannot be written, at the beginning or at the end; no record is to blame.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not (alone and self._in_hand))
            self._alone = alone
            self._in_hand.update(names)
        try:
            self._write()
            yield
        except (Exception, asyncio.CancelledError):
            await self._release(names, alone)
            raise
        await self._release(names, alone)

    def forget(self, names: Iterable[str]) -> None:
        """Note that these records are done with; what they are blamed for is forgotten."""
        known = [name for name in names if name in self._deaths]
        for name in known:
            del self._deaths[name]
            self._deadly.discard(name)
        if known:
            self._write()

    def excuse(self) -> None:
        """Take everything out of hand: the process ends, and no record is to blame."""
        self._in_hand.clear()
        try:
            self._write()
        except StoreError:
            with suppress(OSError):
                os.ftruncate(self._opened(), 0)  # an empty file blames nobody, either

    def suspect(self, name: str) -> bool:
        """Whether the record must be tried alone."""
        return self._deaths.get(name, 0) >= DEATHS

    def deadly(self, name: str) -> bool:
        """Whether the record killed the process when it was alone."""
        return name in self._deadly

    async def _release(self, names: Sequence[str], alone: bool) -> None:
        self._in_hand.difference_update(names)
        self._alone = self._alone and not alone
        try:
            self._write()
        finally:
            async with self._changed:
                self._changed.notify_all()

    def _read(self) -> None:
        try:
            line, _, _ = self._path.read_bytes().partition(b"\n")  # after it, the rest of a longer one
            state = json.loads(line)
            deaths = {str(name): int(count) for name, count in state["deaths"].items()}
            deadly, in_hand = set(map(str, state["deadly"])), list(map(str, state["in_hand"]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read (%s); records that killed the worker are tried again", self._path, error)
            return
        if len(in_hand) == 1 and deaths.get(in_hand[0], 0) >= DEATHS:
            deadly.add(in_hand[0])
        for name in in_hand:
            deaths[name] = deaths.pop(name, 0) + 1  # the newest last
        self._deaths = dict(islice(deaths.items(), max(0, len(deaths) - REMEMBERED), None))
        self._deadly = deadly & self._deaths.keys()

    def _opened(self) -> int:
        if self._file is None:
            raise RuntimeError("the journal is not open")
        return self._file

    def _write(self) -> None:
        file = self._opened()
        state = {"in_hand": sorted(self._in_hand), "deaths": self._deaths, "deadly": sorted(self._deadly)}
        data = json.dumps(state).encode() + b"\n"
        try:
            if os.pwrite(file, data, 0) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(file, len(data))
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror}") from error
