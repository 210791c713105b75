"""CPU time and memory of running processes, from ``/proc`` (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "between", "machine", "together", "usage"]

_TICK_MS = 1000.0 / os.sysconf("SC_CLK_TCK")

#: Fields of ``/proc/<pid>/stat`` after the name: utime, stime, cutime, cstime.
_TIMES = slice(11, 15)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process with its children has used since its start.

    Attributes
    ----------
    cpu_ms
        User and system time, milliseconds; ended children that were waited for are included.
    peak_mib
        Largest resident memory (VmHWM) of the process, MiB; the sum over it and its living children.
    """

    cpu_ms: float
    peak_mib: float


def usage(pid: int) -> Usage:
    """Usage of a process and its living children.

    Raises
    ------
    ProcessLookupError
        If there is no such process.
    """
    cpu, peak = 0.0, 0.0
    for index, member in enumerate(_family(pid)):
        try:
            cpu += _cpu_ms(member)
            peak += _peak_mib(member)
        except (FileNotFoundError, ProcessLookupError):
            if index == 0:
                raise ProcessLookupError(f"process {pid} has ended") from None
    return Usage(cpu, peak)


def together(members: Iterable[Usage]) -> Usage:
    """Usage of several processes: CPU time of all, memory of the largest."""
    found = list(members)
    return Usage(sum(each.cpu_ms for each in found), max(each.peak_mib for each in found))


def between(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, float]:
    """CPU milliseconds of each process from one reading to the next."""
    return {name: after[name].cpu_ms - before[name].cpu_ms for name in after}


def machine() -> dict[str, str]:
    """Tell what this machine is: processor, cores, memory."""
    processor = "unknown"
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": processor,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
    }


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    yield from _family(int(child))


def _cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[_TIMES])) * _TICK_MS


def _peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
