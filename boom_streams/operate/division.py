"""How many workers each role gets on a machine."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from boom_streams.topologies.survey import ROLES, SERVICES_CPU_MS, STAGES, stages_of

__all__ = ["cores", "divide"]

#: Share of a core that a worker uses at most: it waits for Kafka between its batches.
_USED = 0.8

_CGROUP = Path("/sys/fs/cgroup/cpu.max")


def divide(cores: float, partitions: int, chosen: Mapping[str, int] | None = None) -> dict[str, int]:
    """Divide workers among the roles so that no role is slower than the machine.

    When all cores are busy, a role takes its share of what an alert costs over all processes, Kafka's and
    MongoDB's included; it gets as many workers as that is cores, at least one and at most one a partition.

    Parameters
    ----------
    cores
        Of the machine, or of what this process may use of it.
    partitions
        Of the topics.
    chosen
        Numbers of workers that somebody has chosen instead.
    """
    total = SERVICES_CPU_MS + sum(stage.cpu_ms for stage in STAGES)
    workers = {}
    for role in ROLES:
        share = sum(stage.cpu_ms for stage in stages_of(role)) / total
        workers[role] = max(1, min(partitions, math.ceil(cores * share / _USED)))
    return workers | dict(chosen or {})


def cores() -> float:
    """Cores that this process may use: of its machine, its affinity, and its container's limit."""
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CGROUP.read_text().split()
        return min(known, int(quota) / int(period))
    except (OSError, ValueError):  # no limit (`max`), or no such file
        return known
