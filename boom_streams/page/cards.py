"""What a card says of an alert, as texts: the template only puts them in their places."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from astropy.coordinates import Angle
from bson import json_util

from boom_streams.astro import times
from boom_streams.models.registry import known_models
from boom_streams.page.axes import round_number
from boom_streams.page.curves import Plot, plot
from boom_streams.page.matches import CatalogMatches, catalog_matches
from boom_streams.page.stamps import Stamp, stamps
from boom_streams.surveys import Survey, find_survey

__all__ = ["AlertLine", "Card", "PassedFilter", "Score", "card", "lines", "utc"]

#: Longest text of an annotation.
_LONGEST = 300


class PassedFilter(NamedTuple):
    """A filter that alerts of the object passed, with its annotations of the newest as texts.

    Attributes
    ----------
    alerts
        How many alerts passed it.
    """

    name: str
    fid: str
    annotations: list[tuple[str, str]]
    alerts: int


class AlertLine(NamedTuple):
    """What a line says of an alert.

    Attributes
    ----------
    position
        ICRS degrees.
    time
        UTC.
    """

    object_id: str
    survey: str
    candid: int
    position: str
    time: str
    band: str
    magnitude: str
    filters: str


class Score(NamedTuple):
    """A model's score, 0 to 1.

    Attributes
    ----------
    what
        What a score near 1 means; empty: unknown.
    """

    name: str
    score: float
    version: str
    what: str


@dataclass(frozen=True, slots=True)
class Card:
    """One object with its alerts that passed; what is not said to be otherwise is of the newest.

    Attributes
    ----------
    alerts
        All of them, the newest first.
    position
        ICRS degrees.
    sexagesimal
        Hours and degrees.
    magnitude
        AB magnitude with its 1-sigma error.
    time
        UTC.
    seen
        How often it was detected, and for how long.
    negative
        Whether the object is fainter than in the template.
    turned
        Whether the difference stamp is template minus science.
    whole_curve
        With all times, if `curve` leaves some out.
    matches
        None: nobody has asked the archive.
    versions
        Versions of the models, and which models have each.
    order
        Numbers to sort cards by.
    """

    alerts: list[AlertLine]
    object_id: str
    candid: int
    survey: str
    position: str
    sexagesimal: str
    band: str
    magnitude: str
    time: str
    mjd: str
    seen: str
    history: str
    links: list[tuple[str, str]]
    stamps: list[Stamp]
    negative: bool
    turned: bool
    curve: Plot | None
    whole_curve: Plot | None
    filters: list[PassedFilter]
    matches: list[CatalogMatches] | None
    scores: list[Score]
    versions: list[tuple[str, str]]
    order: dict[str, float]


def card(
    alerts: Sequence[Mapping[str, Any]],
    matches: Mapping[str, Any] | None,
    scores: Mapping[str, float] | None = None,
) -> Card:
    """Make the card of an object.

    Parameters
    ----------
    alerts
        Its decoded filtered records, the newest first, with photometry in nJy.
    matches
        Matches of its object by catalogue, as `boom_streams.archive.read_matches` gives them; None: not asked for.
    scores
        Scores by model, beside those of the newest record.
    """
    alert = alerts[0]
    jd, photometry, survey = alert["jd"], alert["photometry"], find_survey(alert["survey"])
    negative = _is_negative(photometry, jd)
    curve = plot(photometry, jd)
    age = _age(photometry, jd)
    found = _scores(alert.get("classifications") or [], scores or {})
    magnitude = alert.get("magnitude")
    return Card(
        alerts=lines(alerts),
        object_id=alert["objectId"],
        candid=alert["candid"],
        survey=alert["survey"],
        position=_degrees(alert),
        sexagesimal=_sexagesimal(alert["ra"], alert["dec"]),
        band=alert.get("band") or "",
        magnitude=_magnitude(magnitude, alert.get("magnitude_error")),
        time=f"{utc(jd):%Y-%m-%d %H:%M:%S}",
        mjd=f"{jd - times.MJD_EPOCH:.5f}",
        seen=_seen(photometry, age),
        history=alert["history"],
        links=_links(alert, survey),
        stamps=stamps(alert),
        negative=negative,
        turned=negative and survey is not None and survey.stamps.turned,
        curve=curve,
        whole_curve=plot(photometry, jd, whole=True) if curve is not None and curve.earlier else None,
        filters=_filters(alerts),
        matches=None if matches is None else catalog_matches(matches),
        scores=found,
        versions=_versions(found),
        order=_order(jd, magnitude, age, found),
    )


def lines(alerts: Sequence[Mapping[str, Any]]) -> list[AlertLine]:
    """A line an alert."""
    return [
        AlertLine(
            object_id=alert["objectId"],
            survey=alert["survey"],
            candid=alert["candid"],
            position=_degrees(alert),
            time=f"{utc(alert['jd']):%Y-%m-%d %H:%M:%S}",
            band=alert.get("band") or "",
            magnitude=_magnitude(alert.get("magnitude"), alert.get("magnitude_error")),
            filters=", ".join(dict.fromkeys(passed["name"] for passed in alert["filters"])),
        )
        for alert in alerts
    ]


def utc(jd: float) -> datetime:
    """Time of a Julian date (UTC), to the second."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=times.unix_ms(jd))
    return (moment + timedelta(seconds=0.5)).replace(microsecond=0)


def _degrees(alert: Mapping[str, Any]) -> str:
    """ICRS position, degrees."""
    return f"{alert['ra']:.6f} {alert['dec']:+.6f}"


def _sexagesimal(ra: float, dec: float) -> str:
    """ICRS position as hours and degrees, to be copied: the minus is the one of the keyboard."""
    hours = Angle(ra, "deg").to_string("hourangle", sep=":", precision=2, pad=True)
    degrees = Angle(dec, "deg").to_string("deg", sep=":", precision=1, pad=True, alwayssign=True)
    return f"{hours} {degrees}"


def _magnitude(magnitude: float | None, error: float | None) -> str:
    if magnitude is None or not math.isfinite(magnitude):
        return "no magnitude"
    return f"{magnitude:.2f}" + (f" ± {error:.2f}" if error is not None and math.isfinite(error) else "")


def _age(photometry: Sequence[Mapping[str, Any]], jd: float) -> float | None:
    """Days since the first detection in the light curve, which reaches back 365 days."""
    detected = [point["jd"] for point in photometry if point["origin"] == "alert" and math.isfinite(point["jd"])]
    return jd - min(detected) if detected else None


def _seen(photometry: Sequence[Mapping[str, Any]], age: float | None) -> str:
    count = sum(point["origin"] == "alert" for point in photometry)
    if not age:
        return f"{count or 'no'} detection{'s' if count != 1 else ''}"
    return f"{count} detections in {round_number(age)} d"


def _links(alert: Mapping[str, Any], survey: Survey | None) -> list[tuple[str, str]]:
    """Public pages about the object and its place."""
    ra, dec = alert["ra"], alert["dec"]
    links = [
        (
            "Legacy Surveys",
            f"https://www.legacysurvey.org/viewer?ra={ra:.6f}&dec={dec:.6f}&zoom=16&mark={ra:.6f},{dec:.6f}",
        ),
        (
            "SIMBAD",
            f"https://simbad.cds.unistra.fr/simbad/sim-coo?Coord={ra:.6f}%20{dec:+.6f}&Radius=10&Radius.unit=arcsec",
        ),
    ]
    return links if survey is None else [*survey.links(alert["objectId"]), *links]


def _is_negative(photometry: Sequence[Mapping[str, Any]], jd: float) -> bool:
    """Whether the alert's own detection has a negative difference flux."""
    own = (point["flux"] for point in photometry if point["origin"] == "alert" and point["jd"] == jd)
    return any(flux is not None and flux < 0 for flux in own)


def _filters(alerts: Sequence[Mapping[str, Any]]) -> list[PassedFilter]:
    """Filters that the alerts passed, in the order in which they come; alerts are the newest first."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for alert in alerts:
        for passed in alert["filters"]:
            found.setdefault((passed["filter_id"], passed["fid"]), []).append(passed)
    return [PassedFilter(each[0]["name"], each[0]["fid"], _annotations(each[0]), len(each)) for each in found.values()]


def _annotations(passed: Mapping[str, Any]) -> list[tuple[str, str]]:
    try:
        annotations = json_util.loads(passed["annotations"])
    except (ValueError, TypeError, RecursionError):
        annotations = passed["annotations"]
    if not isinstance(annotations, dict):
        annotations = {"annotations": annotations}
    return [(name, _text(value)) for name, value in annotations.items()]


def _text(value: Any) -> str:
    """A value of an annotation for people."""
    text = _words(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _words(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return round_number(value, 6)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    return str(value)


def _scores(classifications: Sequence[Mapping[str, Any]], others: Mapping[str, float]) -> list[Score]:
    """Scores of the record and others, by name; versions are the record's, else those of the known models."""
    versions = {entry["classifier"]: str(entry.get("version") or "") for entry in classifications}
    values = {**others, **{entry["classifier"]: entry["score"] for entry in classifications}}
    found = []
    for name, score in sorted(values.items()):
        model = known_models().get(name)
        version = versions.get(name) or (model.version if model else "")
        found.append(Score(name, score, version, model.what if model else ""))
    return found


def _versions(scores: Sequence[Score]) -> list[tuple[str, str]]:
    names: dict[str, list[str]] = {}
    for score in scores:
        names.setdefault(score.version, []).append(score.name)
    return [(version, ", ".join(found)) for version, found in names.items() if version]


def _order(jd: float, magnitude: float | None, age: float | None, scores: Sequence[Score]) -> dict[str, float]:
    numbers = {"time": jd, "magnitude": magnitude, "age": age, **{f"score:{s.name}": s.score for s in scores}}
    return {name: number for name, number in numbers.items() if number is not None and math.isfinite(number)}
