"""Geometry of a light curve: difference flux against days from the alert, and where AB magnitudes are on that axis.

* Fluxes are linear and signed, since a difference may be negative; the zero line is drawn
* The frame shows the detections and some time before the first; what is left out is said, never silently lost
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from boom_streams.astro import times
from boom_streams.astro.photometry import FACTOR, ZP_NJY
from boom_streams.page.axes import magnitude_ticks, nice_ticks, round_number

__all__ = ["BANDS", "BOTTOM", "HEIGHT", "LEFT", "RIGHT", "TOP", "WIDTH", "Mark", "Plot", "plot"]

#: Size of the drawing and its frame, in its own units (about a CSS pixel on a phone).
WIDTH, HEIGHT = 430, 246
LEFT, RIGHT, TOP, BOTTOM = 58, 378, 14, 206

#: Bands that have a colour and a shape of their own, by wavelength.
BANDS = ("u", "g", "r", "i", "z", "y")

#: A limit is so many times its flux error.
_SIGMAS = 5.0
#: Days before the first detection that the frame shows, at least; and as a share of the detections' span.
_BEFORE, _BEFORE_SHARE = 12.0, 0.35
#: How far other points may widen the frame beyond the detections, in their largest flux.
_WIDEN = {"forced": 2.0, "limit": 1.2}
_APART = 13.0
_KINDS = {"alert": "detection", "forced": "forced measurement", "limit": "upper limit"}
_UNITS = (("nJy", 1.0, 1e3), ("µJy", 1e3, 1e7), ("mJy", 1e6, math.inf))


class Mark(NamedTuple):
    """A point in the drawing.

    Attributes
    ----------
    bar
        Upper and lower end of the 1-sigma error bar.
    origin
        ``alert``, ``forced`` or ``limit``.
    own
        Whether it is the alert itself.
    """

    x: float
    y: float
    bar: tuple[float, float] | None
    band: str
    origin: str
    own: bool
    title: str


@dataclass(frozen=True, slots=True)
class Plot:
    """All that a drawing needs; lengths in its own units.

    Attributes
    ----------
    counts
        For each band its name, and (origin, words, number) of its points.
    summary
        The light curve in words.
    notes
        What is not in the frame.
    earlier
        Whether points lie before the frame.
    """

    marks: list[Mark]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    mag_ticks: list[tuple[float, str]]
    x_zero: float
    y_zero: float
    unit: str
    counts: list[tuple[str, list[tuple[str, str, int]]]]
    summary: str
    notes: list[str]
    earlier: bool


class _Point(NamedTuple):
    """A point of a light curve.

    Attributes
    ----------
    flux
        nJy; of a limit, the limit.
    error
        nJy; NaN if there is none, or the point is a limit.
    """

    days: float
    jd: float
    band: str
    origin: str
    flux: float
    error: float


class _Frame(NamedTuple):
    first: float
    last: float
    low: float
    high: float

    def x(self, days: float) -> float:
        return LEFT + (RIGHT - LEFT) * (days - self.first) / (self.last - self.first)

    def y(self, flux: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (flux - self.low) / (self.high - self.low)

    def holds(self, point: _Point) -> bool:
        return self.first <= point.days <= self.last and self.low <= point.flux <= self.high


def plot(photometry: Sequence[Mapping[str, Any]], jd: float, *, whole: bool = False) -> Plot | None:
    """Geometry of a light curve; None if there is no point to draw.

    Parameters
    ----------
    photometry
        Points as a filtered record has them: Julian dates, fluxes in nJy.
    jd
        Julian date (UTC) of the alert.
    whole
        Show all times, not only those around the detections.
    """
    points = [point for row in photometry if (point := _point(row, jd)) is not None]
    if not points:
        return None
    times = _whole(points) if whole else _times(points)
    frame = _Frame(*times, *_fluxes([point for point in points if times[0] <= point.days <= times[1]]))
    shown = sorted(filter(frame.holds, points), key=lambda point: ("limit", "forced", "alert").index(point.origin))
    unit, factor = _unit(max(abs(frame.low), abs(frame.high)))
    scale = magnitude_ticks(frame.high, frame.y(0.0) - TOP, _APART)
    earlier = sum(point.days < frame.first for point in points)
    return Plot(
        marks=[_mark(point, frame, unit, factor) for point in shown],
        x_ticks=[(frame.x(t), round_number(t, 6)) for t in nice_ticks(frame.first, frame.last, 6)],
        y_ticks=[(frame.y(f * factor), round_number(f, 6)) for f in nice_ticks(*_in(frame, factor), 5)],
        mag_ticks=[(frame.y(flux), f"{magnitude:g}") for magnitude, flux in scale],
        x_zero=frame.x(0.0),
        y_zero=frame.y(0.0),
        unit=unit,
        counts=_counts(shown),
        summary=_summary(shown),
        notes=_notes(points, frame, len(photometry) - len(points)),
        earlier=bool(earlier),
    )


def _point(row: Mapping[str, Any], jd: float) -> _Point | None:
    """A point that can be drawn: one with a time and a flux."""
    error = _number(row.get("flux_error"))
    limit = row["origin"] == "limit"
    flux = _SIGMAS * error if limit else _number(row.get("flux"))
    if row["origin"] not in _KINDS or not (math.isfinite(flux) and math.isfinite(row["jd"])):
        return None
    return _Point(row["jd"] - jd, row["jd"], row["band"], row["origin"], flux, math.nan if limit else error)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _times(points: Sequence[_Point]) -> tuple[float, float]:
    """Days of the frame: the detections, and some days before the first."""
    detected = [point.days for point in points if point.origin == "alert"]
    if not detected:
        return _whole(points)
    first, last = min(detected), max(*detected, 0.0)
    before = max(_BEFORE, _BEFORE_SHARE * (last - first))
    begin = max(first - before, min(point.days for point in points))
    return _padded(begin, last)


def _whole(points: Sequence[_Point]) -> tuple[float, float]:
    return _padded(min(point.days for point in points), max(0.0, *(point.days for point in points)))


def _padded(first: float, last: float) -> tuple[float, float]:
    pad = 0.04 * (last - first) or 1.0
    return first - pad, last + pad


def _fluxes(points: Sequence[_Point]) -> tuple[float, float]:
    """Fluxes of the frame: all detections, and what lies not too far beyond them."""
    detected = [point for point in points if point.origin == "alert"]
    most = max((abs(point.flux) for point in detected), default=math.inf)
    chosen = [point for point in points if point.origin == "alert" or abs(point.flux) <= _WIDEN[point.origin] * most]
    bars = [bound for point in chosen for bound in _bounds(point) if abs(bound) <= max(_WIDEN.values()) * most]
    values = [0.0, *(point.flux for point in chosen), *bars]
    low, high = min(values), max(values)
    pad = 0.07 * (high - low) or 1.0
    return low - pad, high + pad


def _bounds(point: _Point) -> tuple[float, float] | tuple[()]:
    return (point.flux - point.error, point.flux + point.error) if math.isfinite(point.error) else ()


def _unit(most: float) -> tuple[str, float]:
    """Unit in which the largest flux (nJy) is a handy number, and its nJy."""
    return next((unit, factor) for unit, factor, end in _UNITS if most < end)


def _in(frame: _Frame, factor: float) -> tuple[float, float]:
    return frame.low / factor, frame.high / factor


def _mark(point: _Point, frame: _Frame, unit: str, factor: float) -> Mark:
    bounds = [min(max(frame.y(flux), TOP), BOTTOM) for flux in _bounds(point)]
    return Mark(
        x=frame.x(point.days),
        y=frame.y(point.flux),
        bar=(bounds[1], bounds[0]) if bounds else None,
        band=point.band,
        origin=point.origin,
        own=point.origin == "alert" and point.days == 0,
        title=_title(point, unit, factor),
    )


def _title(point: _Point, unit: str, factor: float) -> str:
    """A point in words, with its magnitude where its flux is positive."""
    sigma = "5σ " if point.origin == "limit" else ""
    when = f"{round_number(point.days, 5)} d, MJD {point.jd - times.MJD_EPOCH:.4f}"
    known = math.isfinite(point.error)
    flux = f"{point.flux / factor:.4g}" + (f" ± {point.error / factor:.2g}" if known else "") + f" {unit}"
    text = f"{point.band} {sigma}{_KINDS[point.origin]}, {when}: {flux}".replace("-", "−")
    if point.flux <= 0:
        return text
    error = f" ± {FACTOR * point.error / point.flux:.2f}" if known else ""
    return f"{text}, {ZP_NJY - 2.5 * math.log10(point.flux):.2f}{error} mag"


def _counts(points: Sequence[_Point]) -> list[tuple[str, list[tuple[str, str, int]]]]:
    counted = Counter((point.band, point.origin) for point in points)
    others = sorted({point.band for point in points} - {*BANDS})
    return [
        (band, [(origin, _plural(n, words), n) for origin, words in _KINDS.items() if (n := counted[band, origin])])
        for band in (*BANDS, *others)
        if any(counted[band, origin] for origin in _KINDS)
    ]


def _plural(number: int, words: str) -> str:
    return words if number == 1 else f"{words}s"


def _summary(points: Sequence[_Point]) -> str:
    if not points:
        return "No point lies within the frame."
    parts = [f"{n} {words} in {band}" for band, found in _counts(points) for _, words, n in found]
    first, last = min(point.days for point in points), max(point.days for point in points)
    return f"{', '.join(parts)}; from {round_number(first)} to {round_number(last)} days from the alert."


def _notes(points: Sequence[_Point], frame: _Frame, without: int) -> list[str]:
    """What the drawing lacks, for its caption."""
    earlier = sum(point.days < frame.first for point in points)
    outside = Counter(
        point.origin for point in points if frame.first <= point.days <= frame.last and not frame.holds(point)
    )
    notes = [f"{n} {_plural(n, _KINDS[origin])} beyond the frame's fluxes" for origin, n in sorted(outside.items())]
    if earlier:
        notes.insert(0, f"{earlier} {_plural(earlier, 'point')} before {round_number(frame.first)} d")
    if without:
        notes.append(f"{without} {_plural(without, 'point')} without a flux")
    return notes
