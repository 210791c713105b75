"""The figures, as tables and as JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.chain import PROCESSES, Cost
from benchmarks.filters import FILTER_SETS
from benchmarks.latency import PERCENTILES
from benchmarks.yardstick import MODELS, MODELS_MS, REFERENCE, at_reference, slowness

if TYPE_CHECKING:
    from benchmarks.plan import Figures

__all__ = ["as_json", "last_line", "show"]

_TOP = 15


def show(figures: Figures, part: str) -> None:
    """Print one part: ``machine``, ``cost``, ``catalogs``, ``latency``, ``profile`` or ``history``."""
    _PARTS[part](figures)
    sys.stdout.flush()


def last_line(figures: Figures) -> str:
    """``total`` and the CPU milliseconds an alert of set a (of set b where only that was run)."""
    costs = next(iter(figures.costs.values()))
    return f"total {median(cost.total_ms for cost in costs):.2f}"


def as_json(figures: Figures) -> str:
    """All figures, with the single runs and the stacks' sums."""
    return json.dumps(figures, default=_fields, indent=1) + "\n"


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}  # asdict() breaks counters


def _machine(figures: Figures) -> None:
    print(", ".join(f"{name}: {value}" for name, value in figures.machine.items()))
    print(f"{figures.alerts} alerts, {figures.alerts // 2} objects; six models, six catalogues")


def _cost(figures: Figures) -> None:
    table = Table(title="CPU ms an alert, medians")
    table.add_column("process")
    for name in figures.costs:
        table.add_column(f"set {name}", justify="right")
    table.add_column("peak MiB", justify="right")
    for process in PROCESSES:
        cells = [f"{median(c.cpu_ms[process] for c in costs):.2f}" for costs in figures.costs.values()]
        peak = max(cost.peak_mib[process] for costs in figures.costs.values() for cost in costs)
        table.add_row(process, *cells, f"{peak:.0f}")
    table.add_section()
    rows: list[tuple[str, Callable[[Cost], float], int]] = [
        ("total", lambda c: c.total_ms, 2),
        ("alerts/s", lambda c: c.per_second, 0),
        ("passed", lambda c: c.records["filtered"], 0),
    ]
    for name, value, digits in rows:
        table.add_row(name, *(_spread([value(c) for c in costs], digits) for costs in figures.costs.values()))
    _print(table)
    for name in figures.costs:
        print(f"set {name}: {FILTER_SETS[name]}")
    _yardstick(figures)


def _yardstick(figures: Figures) -> None:
    table = Table(title="speed of this machine, CPU ms a packet, before each run and after the last")
    for column in ("fixed work", "here", "reference"):
        table.add_column(column, justify="left" if column == "fixed work" else "right")
    for name, ms in REFERENCE.items():
        table.add_row(name, _spread([each[name] for each in figures.yardstick], 2), f"{ms:.2f}")
    slow = [slowness(each) for each in figures.yardstick]
    models = [each[MODELS] for each in figures.yardstick]
    table.add_row("times as slow", _spread(slow, 2), "1")
    table.add_row(MODELS, _spread(models, 2), f"{MODELS_MS:.2f}")
    _print(table)
    for name, costs in figures.costs.items():
        total = median(cost.total_ms for cost in costs)
        there = at_reference(total, median(models), median(slow))
        print(f"set {name} at the reference's speed: {there:.2f} CPU ms an alert")


def _spread(values: Sequence[float], digits: int) -> str:
    middle = f"{median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _latency(figures: Figures) -> None:
    found = figures.latency
    assert found is not None
    table = Table(title=f"ms from the raw record, at {found.rate:.0f} alerts/s")
    for column in ("to", "alerts", *(f"p{p}" for p in PERCENTILES)):
        table.add_column(column, justify="left" if column == "to" else "right")
    table.add_row("classified", str(found.alerts), *(f"{x:.0f}" for x in found.classified))
    table.add_row("filtered", str(found.passed), *(f"{x:.0f}" for x in found.filtered))
    _print(table)
    _loads(figures)


def _loads(figures: Figures) -> None:
    full = next(iter(figures.costs.values()))
    usual = median(cost.total_ms for cost in full)
    table = Table(title="CPU ms an alert at a part of the full rate, and ms a second without alerts")
    for column in ("load", "alerts/s", *PROCESSES, "total", "times the full load's"):
        table.add_column(column, justify="left" if column == "load" else "right")
    for load in figures.loads:
        cells = (f"{load.cost.cpu_ms[process]:.2f}" for process in PROCESSES)
        times = f"{load.cost.total_ms / usual:.2f}"
        table.add_row(load.name, f"{load.rate:.0f}", *cells, f"{load.cost.total_ms:.2f}", times)
    idle = (f"{figures.idle[process]:.0f}" for process in PROCESSES)
    table.add_row("idle", "0", *idle, f"{sum(figures.idle.values()):.0f}", "")
    _print(table)


def _catalogs(figures: Figures) -> None:
    table = Table(title="matching with six catalogues, alone")
    for column in ("rows", "us an alert, tiles from the archive", "us an alert, tiles in memory"):
        table.add_column(column, justify="right")
    for each in figures.crossmatch:
        table.add_row(f"{each.rows:,}", f"{each.cold:.0f}", f"{each.warm:.0f}")
    _print(table)
    if figures.larger is not None:
        usual = median(cost.total_ms for cost in next(iter(figures.costs.values())))
        larger = figures.larger.total_ms
        rows = figures.crossmatch[-1].rows / figures.crossmatch[0].rows
        print(f"{rows:.0f} times the rows: {larger:.2f} CPU ms an alert, {larger / usual:.2f} times as many")


def _profile(figures: Figures) -> None:
    for process in (name for name in PROCESSES if name in figures.profile):
        found = figures.profile[process]
        title = f"{process}: {found.total:.2f} CPU ms an alert, sampled"
        names = ("own time, by module", "own time, by function", "in this project, with what it calls")
        table = Table(title=title)
        for name in names:
            table.add_column("ms", justify="right")
            table.add_column(name, overflow="fold")
        columns = [found.modules, found.functions, found.lines]
        for row in range(_TOP):
            table.add_row(*(cell for counter in columns for cell in _entry(counter, row)))
        _print(table)


def _entry(counter: Counter[str], row: int) -> tuple[str, str]:
    common = counter.most_common(row + 1)
    if len(common) <= row:
        return "", ""
    name, spent = common[row]
    return f"{spent:.3f}", name.removeprefix("boom_streams.")


def _history(figures: Figures) -> None:
    table = Table(title="longer histories")
    for column in ("alerts", "points a packet", "ms an alert", "points x", "cost x", "archive kB an object", "size x"):
        table.add_column(column, justify="left" if column == "alerts" else "right")
    first = figures.history[0]
    for each in figures.history:
        table.add_row(
            each.name,
            f"{each.points:.0f}",
            f"{each.cost.total_ms:.2f}",
            f"{each.points / first.points:.1f}",
            f"{each.cost.total_ms / first.cost.total_ms:.1f}",
            f"{each.archived / 1000:.1f}",
            f"{each.archived / first.archived:.1f}",
        )
    _print(table)


_PARTS = {
    "machine": _machine,
    "cost": _cost,
    "catalogs": _catalogs,
    "latency": _latency,
    "profile": _profile,
    "history": _history,
}


def _print(table: Table) -> None:
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)
