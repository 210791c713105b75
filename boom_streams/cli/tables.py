"""Tables for people, whose cells are texts whatever stands in them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, JustifyMethod, OverflowMethod
from rich.table import Table
from rich.text import Text

from boom_streams.cli.plain import plain

__all__ = ["PlainTable", "passing_table", "show"]

#: Longest text of a cell.
_LONGEST = 500

_COLUMNS = ("objectId", "candid", "ra", "dec", "band", "magnitude", "filter", "annotations")


class PlainTable:
    """A table whose cells, headings and title are plain texts.

    Parameters
    ----------
    title
        Title of the table.
    """

    def __init__(self, title: str) -> None:
        self._table = Table(title=_cell(title))

    def add_column(
        self, name: str, *, justify: JustifyMethod = "left", overflow: OverflowMethod = "fold", no_wrap: bool = False
    ) -> None:
        """Add a column; a text that is too wide goes on below, unless it must not wrap."""
        self._table.add_column(_cell(name), justify=justify, overflow=overflow, no_wrap=no_wrap)

    def add_row(self, *cells: object) -> None:
        """Add a row, a value a column."""
        self._table.add_row(*map(_cell, cells))

    @property
    def rendered(self) -> Table:
        """What rich prints."""
        return self._table


def show(table: PlainTable) -> None:
    """Print a table: as wide as the terminal, and whole when it goes to a file or another program."""
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table.rendered)


def passing_table(alerts: Iterable[Mapping[str, Any]], title: str) -> PlainTable:
    """Table of alerts that passed filters, from the rows of `boom_streams.publish.results.Passing`.

    Positions are ICRS degrees, magnitudes AB.
    """
    table = PlainTable(title)
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
    """A value of an annotation in words."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return " ".join(f"{name} {_short(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(_short, value))
    return str(value)


def _cell(value: object) -> Text:
    return Text(plain(value, _LONGEST))
