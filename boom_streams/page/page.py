"""From alerts to one HTML file that works anywhere: it loads nothing, and what others wrote is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from boom_streams import __version__
from boom_streams.page import curves
from boom_streams.page.cards import Card, card, lines, utc
from boom_streams.page.matches import CatalogMatches, problems
from boom_streams.page.objects import by_object, unsearched

__all__ = ["MOST", "Night", "render"]

#: Most objects that have a card; the others have a line.
MOST = 500


@dataclass(frozen=True, slots=True)
class Night:
    """What the page says above its cards.

    Attributes
    ----------
    name
        Of the night, or of the filter whose alerts are shown.
    stages
        Records that each stage has written, in order; empty: not counted.
    seconds
        How long the night took through every stage; 0: not measured.
    filters
        Descriptions of the filters that ran, by name; those that no alert passed are listed, too.
    made
        When the page was made; must have a time zone.
    """

    name: str
    stages: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    filters: Mapping[str, str] = field(default_factory=dict)
    made: datetime = field(default_factory=lambda: datetime.now(UTC))


def render(
    night: Night,
    alerts: Sequence[Mapping[str, Any]],
    matches: Mapping[str, Mapping[str, Any]] | None = None,
    scores: Mapping[int, Mapping[str, float]] | None = None,
    most: int = MOST,
) -> str:
    """Make the page: one HTML document that needs no other file.

    Parameters
    ----------
    night
        What it is about.
    alerts
        Decoded filtered records (`boom_streams.publish.results.Passing.alert`) in the order in which they are shown.
    matches
        Catalogue sources by objectId and catalogue, as `boom_streams.archive.read_matches` gives them. None: nobody has
        looked, which the page says.
    scores
        Scores by candid and model, beside those of the records.
    most
        Most cards; objects beyond have a line.
    """
    objects = by_object(alerts)
    passed = [alert for each in objects for alert in each]
    found = None if matches is None else [matches.get(each[0]["objectId"], {}) for each in objects[:most]]
    absent = unsearched(found or [])
    cards = [
        card(each, None if found is None else _without(found[at], absent), (scores or {}).get(each[0]["candid"]))
        for at, each in enumerate(objects[:most])
    ]
    style, script = _part("page.css"), _part("page.js")
    return _environment().get_template("page.html").render(
        night=night,
        cards=cards,
        total=len(passed),
        objects=len(objects),
        others=[(lines(each)[0], len(each)) for each in objects[most:]],
        unsearched=problems(absent),
        asked=matches is not None,
        matched=any(each.matches for each in cards),
        scored=any(each.scores for each in cards),
        filters=_filters(night, passed),
        models=sorted({score.name for each in cards for score in each.scores}),
        observed=_observed(passed),
        made=f"{night.made.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        version=__version__,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        frame=curves,
    )  # fmt: skip


def _without(matches: Mapping[str, Any], absent: Mapping[str, str]) -> dict[str, Any]:
    """Matches without the catalogues of which the page's head speaks."""
    return {catalog: sources for catalog, sources in matches.items() if catalog not in absent}


def _filters(night: Night, alerts: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str]]:
    """Name, number of alerts and description of each filter, by name."""
    counted = Counter(name for alert in alerts for name in {passed["name"] for passed in alert["filters"]})
    names = sorted({*counted, *night.filters})
    return [(name, counted[name], night.filters.get(name) or "") for name in names]


def _observed(alerts: Sequence[Mapping[str, Any]]) -> str:
    """When the alerts were observed, UTC."""
    if not alerts:
        return ""
    first, last = utc(min(alert["jd"] for alert in alerts)), utc(max(alert["jd"] for alert in alerts))
    end = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    start = f"{first:%Y-%m-%d %H:%M}"
    return f"{start} UTC" if start.endswith(end) else f"{start} to {end} UTC"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("boom_streams.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"index_of": _index_of, "problems": _problems}
    return made


def _index_of(each: Card, filters: Sequence[tuple[str, int, str]]) -> str:
    """Places of an object's filters in the page's list, for the script."""
    passed = {one.name for one in each.filters}
    return " ".join(str(place) for place, (name, _, _) in enumerate(filters) if name in passed)


def _problems(matches: Sequence[CatalogMatches]) -> list[tuple[str, str]]:
    """Reasons why catalogues have nothing to show, and their names."""
    return problems({entry.catalog: entry.problem for entry in matches if entry.problem})


@cache
def _part(name: str) -> Markup:
    """Style or script: the only texts that go into the page as they are."""
    return Markup(files("boom_streams.page").joinpath("templates", name).read_text())


def _hash(text: str) -> str:
    """What a content security policy calls an inline style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
