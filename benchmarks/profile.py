"""Where the time goes, from sampled stacks."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sampler import NATIVE

__all__ = ["Profile", "read"]

_OURS = "boom_streams."


@dataclass(frozen=True, slots=True)
class Profile:
    """CPU milliseconds an alert of one process.

    Attributes
    ----------
    total
        Of all threads.
    modules, functions
        Own time: where the time is spent itself, native code that a function calls included.
    ours
        Time of this project's functions with everything of others' that they call.
    lines
        The same by line, ``module:function:line``.
    """

    total: float
    modules: Counter[str]
    functions: Counter[str]
    ours: Counter[str]
    lines: Counter[str]


def read(folder: Path, alerts: int) -> dict[str, Profile]:
    """Read the stacks of each process."""
    return {file.stem: _profile(json.loads(file.read_text()), alerts) for file in sorted(folder.glob("*.json"))}


def _profile(stacks: dict[str, float], alerts: int) -> Profile:
    found = Profile(sum(stacks.values()) / alerts, Counter(), Counter(), Counter(), Counter())
    for stack, milliseconds in stacks.items():
        frames = stack.split(";")
        spent = milliseconds / alerts
        leaf = frames[-1]
        ours = next((frame for frame in reversed(frames) if frame.startswith(_OURS)), None)
        for counter, name in (
            (found.modules, leaf.partition(":")[0]),
            (found.functions, leaf.rpartition(":")[0] or leaf),
            (found.ours, ours.rpartition(":")[0] if ours else _elsewhere(frames)),
            (found.lines, ours or _elsewhere(frames)),
        ):
            counter[name] += spent  # type: ignore[assignment]
    return found


def _elsewhere(frames: list[str]) -> str:
    """Name what is not called by this project: the package of the innermost frame."""
    return NATIVE if frames == [NATIVE] else f"({frames[-1].partition(':')[0].partition('.')[0]})"
