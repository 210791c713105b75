"""Light-curve statistics that users' filters rely on: photstats for each band, and whether the source stays in place.

The definitions are those of the BOOM broker (``photstats``), in double precision. See docs/light-curve-statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from boom_streams.surveys import Series, Survey
from boom_streams.surveys.packed_points import Points
from boom_streams.surveys.series import Mask

__all__ = ["BANDS", "Point", "fit_rate", "photometry", "photstats", "stationary", "statistics"]

#: Bands in the order in which they are listed; others follow.
BANDS = ("g", "r", "i", "z", "y", "u", "j", "h", "k")

#: Shortest time span that is worth a fit, and that tells a source that stays from one that moves, days.
SHORTEST_SPAN = 0.01

#: Forced photometry below this signal-to-noise ratio is not used.
FORCED_SNR = 3.0

_PLACES = {band: place for place, band in enumerate(BANDS)}

#: A point while it is sorted: time, place of its band, which comes first at one time, candid, magnitude, error.
_Ranked: TypeAlias = tuple[float, int, int, int, float, float]


class Point(NamedTuple):
    """A point of a light curve.

    Attributes
    ----------
    jd
        Julian date, UTC.
    mag
        AB magnitude of the difference flux, whatever its sign.
    """

    jd: float
    band: str
    mag: float
    mag_err: float


def statistics(survey: Survey, series: Mapping[str, Points], candid: int, jd: float, programid: int) -> dict[str, Any]:
    """Statistics of the light curve of an alert: ``stationary`` and ``photstats``.

    Parameters
    ----------
    series
        Light curve as known at the alert, packed.
    candid, jd, programid
        Of the alert; only points up to its time, and only those that everyone who may see it may see, are used.
    """
    points = photometry(survey, series, candid, jd, programid)
    return {"stationary": stationary(points), "photstats": photstats(points)}


def photometry(survey: Survey, series: Mapping[str, Points], candid: int, jd: float, programid: int) -> list[Point]:
    """Points that statistics are made of, in time and then in the survey's order of bands, one a (jd, band).

    Detections with a signal-to-noise ratio, magnitude and error, and forced photometry of at least 3 sigma; the survey
    says which of it is good (`Series.usable`). Where several share time and band, the alert's own comes first, then the
    smallest candid, then forced photometry.
    """
    detections, forced = survey.detections, survey.forced
    packed = series[detections.name]
    ranked = _detected(detections, packed, survey.rights.derivable(packed, programid), candid, jd)
    if forced is not None and forced.name in series:
        packed = series[forced.name]
        ranked += _forced(forced, packed, survey.rights.derivable(packed, programid), jd)
    ranked.sort()
    bands = detections.names
    points: list[Point] = []
    last: tuple[float, int] | None = None
    for t, rank, _, _, mag, err in ranked:
        if (t, rank) != last:
            points.append(Point(t, bands[rank], mag, err))
            last = (t, rank)
    return points


def _detected(series: Series, points: Points, visible: Mask, candid: int, jd: float) -> list[_Ranked]:
    """Detections, with what decides which of those at one time counts."""
    magnitudes, errors = series.magnitudes(points)
    columns = (points["jd"], points[series.band], points["candid"], magnitudes, errors, series.ratios(points), visible)
    ranks = series.ranks
    return [
        (t, ranks[band], 0 if own == candid else 1, own, mag, err)
        for t, band, own, mag, err, ratio, seen in zip(*(column.tolist() for column in columns), strict=True)
        if t <= jd and seen and mag == mag and err == err and ratio == ratio
    ]


def _forced(series: Series, points: Points, visible: Mask, jd: float) -> list[_Ranked]:
    """Forced photometry that is clear and good; it comes after detections at one time."""
    chosen = visible & (points["jd"] <= jd) & (series.ratios(points) >= FORCED_SNR)
    if series.usable is not None:
        chosen &= series.usable(points)
    columns = (points["jd"], points[series.band], *series.magnitudes(points))
    ranks = series.ranks
    return [
        (t, ranks[band], 2, 0, mag, err)
        for t, band, mag, err in zip(*(column[chosen].tolist() for column in columns), strict=True)
        if mag == mag and err == err
    ]


def stationary(points: Sequence[Point]) -> bool:
    """Whether the source was seen again in the same place: the points span more than 0.01 days."""
    return bool(points) and points[-1].jd - points[0].jd > SHORTEST_SPAN


def photstats(points: Sequence[Point]) -> dict[str, Any]:
    """Peak, rise and decline in each band.

    Parameters
    ----------
    points
        In time order.

    Returns
    -------
    dict
        By band: ``peak_jd``, ``peak_mag``, ``peak_mag_err``, ``dt`` (days from first to last), and where a fit is
        possible ``rising`` (up to the peak) and ``fading`` (from the peak); see `fit_rate`.
    """
    stats = {}
    for band in sorted({point.band for point in points}, key=lambda band: (_PLACES.get(band, len(BANDS)), band)):
        mine = [point for point in points if point.band == band]
        peak = min(range(len(mine)), key=lambda index: mine[index].mag)
        entry: dict[str, Any] = {
            "peak_jd": mine[peak].jd,
            "peak_mag": mine[peak].mag,
            "peak_mag_err": mine[peak].mag_err,
            "dt": mine[-1].jd - mine[0].jd,
        }
        for name, part in (("rising", mine[: peak + 1]), ("fading", mine[peak:])):
            fit = fit_rate(part)
            if fit is not None:
                entry[name] = fit
        stats[band] = entry
    return stats


def fit_rate(points: Sequence[Point]) -> dict[str, float | int] | None:
    """Weighted least-squares slope of magnitude over time.

    Returns
    -------
    dict or None
        ``rate`` (mag a day; negative: brightening), ``rate_error``, ``red_chi2`` (absent for two points), ``nb_data``,
        ``dt`` (days). None for a single point, a span up to 0.01 days, magnitudes that agree within their errors, or
        an error that is not positive.
    """
    if len(points) < 2 or points[-1].jd - points[0].jd <= SHORTEST_SPAN:
        return None
    bright = min(points, key=lambda point: point.mag)
    faint = max(points, key=lambda point: point.mag)
    if bright.mag + bright.mag_err >= faint.mag - faint.mag_err:
        return None
    if any(not point.mag_err > 0 or math.isinf(point.mag_err) for point in points):
        return None
    start = points[0].jd
    weights = [1.0 / (point.mag_err * point.mag_err) for point in points]
    total = math.fsum(weights)
    t_mean = math.fsum(w * (p.jd - start) for w, p in zip(weights, points, strict=True)) / total
    m_mean = math.fsum(w * p.mag for w, p in zip(weights, points, strict=True)) / total
    offsets = [(w, p.jd - start - t_mean, p.mag - m_mean) for w, p in zip(weights, points, strict=True)]
    sxx = math.fsum(w * t * t for w, t, _ in offsets)
    if sxx < 1e-10:
        return None
    rate = math.fsum(w * t * m for w, t, m in offsets) / sxx
    fit: dict[str, float | int] = {"rate": rate, "rate_error": math.sqrt(1.0 / sxx)}
    if len(points) > 2:
        fit["red_chi2"] = math.fsum(w * (m - rate * t) ** 2 for w, t, m in offsets) / (len(points) - 2)
    fit["nb_data"] = len(points)
    fit["dt"] = points[-1].jd - start
    return fit
