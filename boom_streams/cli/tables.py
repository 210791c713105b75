"""Tables for people: as wide as the terminal, and whole when they go to a file or another program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["passing_table", "show"]

_COLUMNS = ("objectId", "candid", "ra", "dec", "band", "magnitude", "filter", "annotations")


def show(table: Table) -> None:
    """Print a table."""
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)


def passing_table(alerts: Iterable[Mapping[str, Any]], title: str) -> Table:
    """Table of alerts that passed filters, from the rows of `boom_streams.publish.results.Passing`.

    Positions are ICRS degrees, magnitudes AB.
    """
    table = Table(title=title)
    for column in _COLUMNS:
        right = column in ("candid", "ra", "dec", "magnitude")
        table.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for alert in alerts:
        table.add_row(
            str(alert["objectId"]),
            str(alert["candid"]),
            _number(alert["ra"], 5),
            _number(alert["dec"], 5),
            str(alert.get("band") or ""),
            _number(alert.get("magnitude"), 2),
            str(alert["filter"]),
            ", ".join(f"{name}={_short(value)}" for name, value in alert["annotations"].items()),
        )
    return table


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
