"""Which records were in hand when the process died: the way to find a record that kills it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Journal"]

#: Deaths of the process with a record in hand after which that record is handled alone.
DEATHS = 3


class Journal:
    """A small file beside RocksDB with the records in hand, read when the process starts again.

    A record in hand at three deaths is *suspect*: it is tried alone. One that was alone in hand when the
    process died again is *deadly*: it becomes a dead letter without being tried.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._deaths: dict[str, int] = {}
        self._deadly: set[str] = set()
        self._read()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._write([])

    @staticmethod
    def name(topic: str, partition: int, offset: int) -> str:
        """Identity of a record."""
        return f"{topic}/{partition}/{offset}"

    def begin(self, names: Iterable[str]) -> None:
        """Note the records that are now in hand."""
        self._write(list(names))

    def end(self, names: Iterable[str]) -> None:
        """Note that these records are done with; what they are blamed for is forgotten."""
        for name in names:
            if name in self._deaths:
                self._deaths.pop(name)
                self._deadly.discard(name)
        self._write([])

    def suspect(self, name: str) -> bool:
        """Whether the record must be tried alone."""
        return self._deaths.get(name, 0) >= DEATHS

    def deadly(self, name: str) -> bool:
        """Whether the record killed the process when it was alone."""
        return name in self._deadly

    def _read(self) -> None:
        try:
            state = json.loads(self._path.read_bytes().rstrip(b"\0 \n"))
        except (OSError, ValueError):
            return
        self._deaths = dict(state["deaths"])
        self._deadly = set(state["deadly"])
        in_hand = state["in_hand"]
        if len(in_hand) == 1 and self.suspect(in_hand[0]):
            self._deadly.add(in_hand[0])
        for name in in_hand:
            self._deaths[name] = self._deaths.get(name, 0) + 1

    def _write(self, in_hand: list[str]) -> None:
        state = {"in_hand": in_hand, "deaths": self._deaths, "deadly": sorted(self._deadly)}
        data = json.dumps(state).encode() + b"\n"
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))
