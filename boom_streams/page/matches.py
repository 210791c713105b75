"""What a card says of the catalogue sources beside its object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from boom_streams.page.axes import round_number

__all__ = ["CatalogMatches", "Match", "catalog_matches", "problems"]

#: Sources of a catalogue that are shown, and columns of each.
MOST_SOURCES, MOST_COLUMNS = 3, 8

#: Fields that have a place of their own, or say what is said already.
_PLACED = ("_id", "ra", "dec", "distance_arcsec", "distance_kpc", "coordinates")
#: How catalogues name a column's error.
_ERRORS = ("{}_error", "{}_err", "{}_unc", "e_{}")


class Match(NamedTuple):
    """A catalogue source near the alert, as texts.

    Attributes
    ----------
    kpc
        Projected distance; empty if the catalogue has none.
    """

    arcsec: str
    kpc: str
    source_id: str
    columns: list[tuple[str, str]]


class CatalogMatches(NamedTuple):
    """Sources of one catalogue.

    Attributes
    ----------
    more
        Further sources that are not shown.
    problem
        Why there is none to show.
    """

    catalog: str
    matches: list[Match]
    more: int
    problem: str


def catalog_matches(matches: Mapping[str, Sequence[Mapping[str, Any]] | str]) -> list[CatalogMatches]:
    """Texts of an object's matches, by catalogue; those with sources first.

    Parameters
    ----------
    matches
        Sources by catalogue in the catalogue's order, with ``distance_arcsec`` and perhaps ``distance_kpc`` (-1: the
        redshift is too small to tell). A text instead of a list: why the catalogue was not asked.
    """
    found = [_catalog(name, sources) for name, sources in sorted(matches.items())]
    return sorted(found, key=lambda entry: not entry.matches)


def problems(found: Mapping[str, str]) -> list[tuple[str, str]]:
    """Reasons why catalogues have nothing to show, each with the names of all that it is true of."""
    names: dict[str, list[str]] = {}
    for catalog, reason in found.items():
        names.setdefault(reason, []).append(catalog)
    return [(reason, ", ".join(catalogs)) for reason, catalogs in names.items()]


def _catalog(name: str, sources: Sequence[Mapping[str, Any]] | str) -> CatalogMatches:
    if isinstance(sources, str):
        return CatalogMatches(name, [], 0, sources)
    shown = [_match(source) for source in sources[:MOST_SOURCES]]
    return CatalogMatches(name, shown, len(sources) - len(shown), "" if shown else "no source within its radius")


def _match(source: Mapping[str, Any]) -> Match:
    errors = {pattern.format(name): name for name in source for pattern in _ERRORS if pattern.format(name) in source}
    columns = [
        (name, _with_error(value, next((source[e] for e, of in errors.items() if of == name), None)))
        for name, value in source.items()
        if name not in _PLACED and name not in errors and _is_plain(value)
    ]
    return Match(
        arcsec=_fixed(source.get("distance_arcsec"), 2),
        kpc=_kpc(source.get("distance_kpc")),
        source_id=str(source.get("_id", "")),
        columns=columns[:MOST_COLUMNS],
    )


def _is_plain(value: Any) -> bool:
    """Whether a value can be shown in a word."""
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _with_error(value: Any, error: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if not isinstance(error, float) or not math.isfinite(error):
        return round_number(value, 5)
    return f"{round_number(value, 5)} ± {round_number(error, 2)}"


def _fixed(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _kpc(value: float | None) -> str:
    if value is None:
        return ""
    return "too near to tell" if value < 0 else f"{value:.1f}"
