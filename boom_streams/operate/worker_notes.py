"""What workers have to say to whoever looks after them: a small file beside each one's tables.

``notes.json`` says which stage waits, since when and why, and which records Kafka deleted before they were read.
`boom-streams status` shows the files of its own machine (``<data_dir>/workers/*``, ``APP_DATADIR``); the workers' logs
say the same.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["FILE", "Notes", "lost", "unfit", "waiting"]

log = logging.getLogger(__name__)

FILE = "notes.json"

#: Seconds after which a waiting stage says so again, and after which one that has not is not waiting any more.
AGAIN, STALE = 5.0, 120.0

#: Lines about lost records that are kept.
_KEPT = 1000


class Notes:
    """The notes of one worker; a file that cannot be written is a line in the log, and stops nothing.

    Parameters
    ----------
    folder
        The worker's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._waiting: dict[str, dict[str, Any]] = {}
        self._lost: list[dict[str, Any]] = _read(self._path).get("lost", [])
        self._unfit: dict[str, dict[str, Any]] = _read(self._path).get("unfit", {})
        self._lock = threading.Lock()

    def waits(self, stage: str, why: str) -> None:
        """Note that a stage waits."""
        now = time.time()
        with self._lock:
            known = self._waiting.get(stage)
            if known is None or known["why"] != why or now - known["at"] > AGAIN:
                self._waiting[stage] = {"since": known["since"] if known else now, "at": now, "why": why}
                self._write()

    def goes_on(self, stage: str) -> None:
        """Note that a stage waits no more."""
        with self._lock:
            if self._waiting.pop(stage, None) is not None:
                self._write()

    def lost(self, topic: str, partition: int, first: int, after: int) -> None:
        """Note that records were deleted before they were read: from an offset on, up to another."""
        entry = {"topic": topic, "partition": partition, "first": first, "after": after, "at": time.time()}
        with self._lock:
            self._lost = [*self._lost, entry][-_KEPT:]
            self._write()

    def unfit(self, stage: str, what: str) -> None:
        """Note that a record that a stage sent does not fit its schema."""
        with self._lock:
            count = self._unfit.get(stage, {}).get("count", 0) + 1
            self._unfit[stage] = {"count": count, "last": what, "at": time.time()}
            self._write()

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({"waiting": self._waiting, "lost": self._lost, "unfit": self._unfit}))
            fresh.replace(self._path)
        except OSError as error:
            log.warning("cannot write %s: %s", self._path, error)


def waiting(settings: Settings) -> list[dict[str, Any]]:
    """Stages of this machine's workers that wait: ``worker``, ``stage``, ``since`` (seconds since 1970), ``why``."""
    found = [
        {"worker": path.parent.name, "stage": stage, "since": note["since"], "why": note["why"]}
        for path in _files(settings)
        for stage, note in _read(path).get("waiting", {}).items()
        if time.time() - note["at"] < STALE
    ]
    return sorted(found, key=lambda each: float(each["since"]))


def lost(settings: Settings) -> list[dict[str, Any]]:
    """Records that were deleted before this machine's workers read them: ``worker``, ``topic``, ``partition``, …."""
    found = [{"worker": path.parent.name, **note} for path in _files(settings) for note in _read(path).get("lost", [])]
    return sorted(found, key=lambda each: float(each["at"]))


def unfit(settings: Settings) -> list[dict[str, Any]]:
    """Records that do not fit their schema, of those that were checked: ``worker``, ``stage``, ``count``, ``last``."""
    return [
        {"worker": path.parent.name, "stage": stage, **note}
        for path in _files(settings)
        for stage, note in _read(path).get("unfit", {}).items()
    ]


def _files(settings: Settings) -> list[Path]:
    ours = {path.resolve() for path in (settings.data_dir / "workers").glob(f"*/{FILE}")}
    return sorted(ours | {path.resolve() for path in [settings.worker_folder / FILE] if path.is_file()})


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text())
        return content if isinstance(content, dict) else {}
    return {}
