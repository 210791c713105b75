"""Where a process spends its CPU time: stacks, sampled by a thread and weighed by each thread's own clock.

A process that was started with `VARIABLE` naming a folder samples while the folder has the file ``go``
(`window`), and writes ``<role>.json`` there at the end: milliseconds for each stack. A stack is a string of
``module:function:line`` separated by ``;``, outermost first. Time of threads that run no Python (RocksDB's,
librdkafka's) is under the stack `NATIVE`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = ["NATIVE", "VARIABLE", "start", "window"]

VARIABLE = "BENCH_PROFILE"

NATIVE = "threads without Python"

_INTERVAL = 0.004

_GO = "go"

#: Seconds that processes get to write what they have.
_PATIENCE = 30.0


@contextmanager
def window(folder: Path | None) -> Iterator[None]:
    """Within the block, processes that were started for ``folder`` sample; afterwards their files are there."""
    if folder is None:
        yield
        return
    for old in folder.glob("*.json"):
        old.unlink()
    (folder / _GO).touch()
    try:
        yield
    finally:
        (folder / _GO).unlink()
        deadline = time.monotonic() + _PATIENCE
        while list(folder.glob("*.partial")) and time.monotonic() < deadline:
            time.sleep(0.02)


def start(role: str) -> None:
    """Begin to look for the file ``go``, if this process was started to be sampled."""
    if folder := os.environ.get(VARIABLE):
        threading.Thread(target=_watch, args=(Path(folder), role), daemon=True, name="sampler").start()


def _watch(folder: Path, role: str) -> None:
    while True:
        while not (folder / _GO).exists():
            time.sleep(0.02)
        partial = folder / f"{role}.partial"
        partial.touch()
        partial.write_text(json.dumps(_sample(folder / _GO)))
        partial.rename(folder / f"{role}.json")


def _sample(go: Path) -> dict[str, float]:
    stacks: Counter[str] = Counter()
    clocks = _clocks()
    began, python = time.process_time(), 0.0
    while go.exists():
        time.sleep(_INTERVAL)
        frames, now = sys._current_frames(), _clocks()
        for thread, seconds in now.items():
            spent = seconds - clocks.get(thread, seconds)
            if spent <= 0:
                continue
            python += spent
            if thread != threading.get_ident() and thread in frames:
                stacks[_stack(frames[thread])] += spent * 1000  # type: ignore[assignment]
        del frames
        clocks = now
    stacks[NATIVE] = max(0.0, time.process_time() - began - python) * 1000  # type: ignore[assignment]
    return dict(stacks)


def _clocks() -> dict[int, float]:
    """CPU seconds of each Python thread."""
    clocks = {}
    for thread in threading.enumerate():
        if thread.ident is not None:
            try:
                clocks[thread.ident] = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            except OSError:  # it has just ended
                continue
    return clocks


def _stack(frame: FrameType | None) -> str:
    parts = []
    while frame is not None:
        code = frame.f_code
        parts.append(f"{frame.f_globals.get('__name__', '?')}:{code.co_qualname}:{frame.f_lineno}")
        frame = frame.f_back
    return ";".join(reversed(parts))
