"""The end of a process on purpose, and its watchdog: it notices that it was frozen, and that its end takes too long."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from boom_streams.errors import EXIT_RESTART

__all__ = ["Watchdog", "before_end", "fail_stop", "leave"]

log = logging.getLogger(__name__)

#: Seconds that a worker may take to end after it was asked to.
GRACE = 15.0

#: Goes on while a machine sleeps, where the system has such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

#: What is done before the process is ended for a reason that is no record's.
_last_acts: list[Callable[[], None]] = []


def before_end(act: Callable[[], None]) -> None:
    """Have something done before the process is ended on purpose; it must neither fail nor wait."""
    _last_acts.append(act)


def fail_stop(reason: str, *args: Any, blame: bool = False) -> None:
    """End the process at once: nothing that is not acknowledged can be committed any more.

    Parameters
    ----------
    reason, args
        What the log says.
    blame
        What is in hand may be the reason: it stays in the journal.
    """
    log.critical(reason, *args, exc_info=sys.exc_info()[0] is not None)
    if not blame:
        _act_last()
    logging.shutdown()
    os._exit(EXIT_RESTART)


def leave(reason: str, *args: Any) -> NoReturn:
    """End the process with a sentence: only a person can help, and nothing that is not acknowledged is lost."""
    log.critical(reason, *args)
    _act_last()
    logging.shutdown()
    os._exit(1)


class Watchdog:
    """Ends the process when it stood still for longer than its session: its partitions have another owner by now.

    A thread of its own beats, as the consumer's does: a busy event loop is not a frozen process. A record in hand may
    be what froze the process, or what keeps it from ending.

    Parameters
    ----------
    limit
        Longest standstill, seconds; None: any is harmless.
    stopping
        Whether the process was asked to end; it then does so within `GRACE` seconds, whatever hangs.
    """

    def __init__(self, limit: float | None, stopping: Callable[[], bool]) -> None:
        self._limit = limit
        self._stopping = stopping
        self._last = _now()

    def start(self) -> None:
        """Begin to beat."""
        self._last = _now()
        threading.Thread(target=self._beat, name="watchdog", daemon=True).start()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCONT, lambda *_: self.check())  # before anything else goes on

    def check(self) -> None:
        """End the process if it was frozen since the last beat."""
        silent = _now() - self._last
        if self._limit is not None and silent > self._limit:
            fail_stop("the process was frozen for %.1f s, longer than its session", silent, blame=True)

    def _beat(self) -> None:
        interval = min(0.25, (self._limit or 1.0) / 8)
        asked: float | None = None
        while True:
            time.sleep(interval)
            self.check()
            self._last = _now()
            if asked is None and self._stopping():
                asked = self._last
            if asked is not None and self._last - asked > GRACE:
                fail_stop("the worker did not end within %g s of being asked to", GRACE, blame=True)


def _act_last() -> None:
    for act in _last_acts:
        act()


def _now() -> float:
    return time.clock_gettime(_CLOCK)
