"""Light curves of ZTF packets: columns, fluxes, and which points count; a whole batch at once.

* A listed point is a detection (magpsf, sigmapsf, isdiffpos) or a limit (none of these, and diffmaglim)
  x Anything between, what has no time or no known filter, and what does not fit its column is dropped
* Identity: a detection's candid, else (jd, fid, programid); of equal points in one packet the last counts,
  and the alert's own detection comes last
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boom_streams.astro import photometry
from boom_streams.errors import BadRecord
from boom_streams.surveys import packed_points
from boom_streams.surveys.base import LAST_JD
from boom_streams.surveys.packed_points import Points
from boom_streams.surveys.series import Series

__all__ = ["BANDS", "SERIES", "Histories", "light_curves", "pack_detections", "pack_histories", "positive"]

BANDS: Mapping[int, str] = {1: "g", 2: "r", 3: "i"}

_FLUXES = [("psfFlux", "f8"), ("psfFluxErr", "f8"), ("snr_psf", "f4")]
_POINT = [("jd", "f8"), ("fid", "i1"), ("pid", "i8"), ("programid", "i1")]

#: The longest name of a comet or asteroid, and all codes of a status together, have their place; what is longer is
#: missing in light curves, rather than cut.
_TEXT = "S48"

_DETECTION = np.dtype(
    [
        *_POINT,
        *[("candid", "i8"), ("isdiffpos", "i1"), ("rcid", "i2"), ("field", "i4"), ("ra", "f8"), ("dec", "f8")],
        *[(n, "f4") for n in ["magpsf", "sigmapsf", "chipsf", "magap", "sigmagap", "distnr", "magnr", "sigmagnr"]],
        *[(n, "f4") for n in ["chinr", "sharpnr", "sky", "fwhm", "seeratio", "elong"]],
        *[("nneg", "i2"), ("nbad", "i2"), ("rb", "f4"), ("drb", "f4"), ("ssdistnr", "f4"), ("ssmagnr", "f4")],
        *[("ssnamenr", _TEXT), ("scorr", "f8"), ("magzpsci", "f4"), ("diffmaglim", "f4")],
        *_FLUXES,
        *[("apFlux", "f8"), ("apFluxErr", "f8"), ("snr_ap", "f4")],
    ]
)
_LIMIT = np.dtype(
    [*_POINT, ("rcid", "i2"), ("field", "i4"), ("diffmaglim", "f4"), ("magzpsci", "f4"), ("psfFluxErr", "f8")]
)
_FORCED = np.dtype(
    [
        *_POINT,
        *[("rcid", "i2"), ("field", "i4"), ("rfid", "i8")],
        *[(n, "f4") for n in ["magzpsci", "magzpsciunc", "magzpscirms", "exptime", "diffmaglim"]],
        *[("forcediffimflux", "f4"), ("forcediffimfluxunc", "f4"), ("procstatus", _TEXT)],
        *[(n, "f4") for n in ["distnr", "magnr", "sigmagnr", "chinr", "sharpnr", "magpsf", "sigmapsf"]],
        ("isdiffpos", "i1"),
        *_FLUXES,
    ]
)

_COMMON: dict[str, Any] = {
    **{"bands": BANDS, "band": "fid", "key": ("jd", "fid", "programid")},
    "flux_error": "psfFluxErr",
}
_MEASURED: dict[str, Any] = {
    **_COMMON,
    **{"flux": "psfFlux", "snr": "snr_psf", "magnitude": "magpsf", "magnitude_error": "sigmapsf"},
    "booleans": frozenset({"isdiffpos"}),
}


def _is_good(forced: Points) -> NDArray[np.bool_]:
    """Forced photometry without a warning, of images with a zero point."""
    return np.asarray((forced["procstatus"] == b"0") & np.isfinite(forced["magzpsci"]), np.bool_)


#: The light curves; a missing value of a column is NaN, the smallest integer, or no bytes.
SERIES: Mapping[str, Series] = {
    series.name: series
    for series in (
        Series("prv_candidates", "detection", _DETECTION, **_MEASURED),
        Series("prv_nondetections", "limit", _LIMIT, **_COMMON),
        Series("fp_hists", "forced", _FORCED, **_MEASURED, usable=_is_good),
    )
}

_NO_FLUX = -99999.0  # forced photometry that failed
_NONE_1 = -128  # missing value of an i1 column
_NONE_8 = int(np.iinfo(np.int64).min)
_FLUX_COLUMNS = (
    ("magpsf", "sigmapsf", "psfFlux", "psfFluxErr", "snr_psf"),
    ("magap", "sigmagap", "apFlux", "apFluxErr", "snr_ap"),
)

Integers = NDArray[np.int64]

#: Points of all packets of a batch, and the index of the packet of each.
Histories = tuple[Points, Integers]


def positive(value: Any) -> int | None:
    """`isdiffpos` as 1, 0 or None: a boolean, a text (t, true, 1) or a number, by schema."""
    if value is None:
        return None
    if isinstance(value, str):
        return int(value.lower() in ("t", "true", "1"))
    return int(value == 1)


_CLEAN: Mapping[str, Callable[[Any], Any]] = {
    "isdiffpos": positive,
    "ssnamenr": lambda name: None if name == "null" else name,
    "programid": lambda value: value if type(value) is int else None,
}


def pack_detections(candidates: Sequence[Mapping[str, Any]]) -> tuple[Points, dict[int, BadRecord]]:
    """Pack each alert's own detection; those that do not fit are left out and listed by index."""
    packed, kept = _pack_good(candidates, _DETECTION)
    errors: dict[int, BadRecord] = {}
    for index in sorted(set(range(len(candidates))) - set(kept.tolist())):
        try:
            packed_points.from_columns(_columns([candidates[index]], _DETECTION, False), 1, _DETECTION)
        except BadRecord as error:
            errors[index] = error
    return packed, errors


def pack_histories(histories: Sequence[Sequence[Mapping[str, Any]]], series: str, *, alike: bool = False) -> Histories:
    """Pack points listed by packets; those that do not fit are dropped.

    Parameters
    ----------
    histories
        Points of each packet.
    series
        Which of `SERIES` they are.
    alike
        All packets have one schema, so that the points have the same fields (faster).
    """
    packed, kept = _pack_good(list(itertools.chain.from_iterable(histories)), SERIES[series].dtype, alike)
    return packed, np.repeat(np.arange(len(histories)), [len(history) for history in histories])[kept]


def light_curves(
    own: Points,
    prv: Histories,
    forced: Histories,
) -> tuple[list[dict[str, Points]], list[dict[str, float]]]:
    """Light curves of each alert of a batch, and the fluxes of its own detection.

    Parameters
    ----------
    own
        Each alert's own detection (`pack_detections`).
    prv, forced
        The packets' ``prv_candidates`` and forced photometry (`pack_histories`); the latter is filled in.

    Returns
    -------
    series : list of dict
        The packed light curves `SERIES` of each alert, sorted by (jd, fid, candid).
    fluxes : list of dict
        psfFlux, psfFluxErr, apFlux, apFluxErr (nJy), snr_psf, snr_ap; without those that are missing.
    """
    owners = np.arange(len(own))
    listed, owner = prv
    detected, limited = _shapes(listed)
    detections = np.concatenate([listed[detected], own])
    fluxes = _fill_fluxes(detections, len(own))
    measured, forced_owner = forced
    usable = _fill_forced(measured)
    split = {
        "prv_candidates": _split(detections, np.concatenate([owner[detected], owners]), len(own)),
        "prv_nondetections": _split(_limits(listed[limited]), owner[limited], len(own)),
        "fp_hists": _split(measured[usable], forced_owner[usable], len(own)),
    }
    return [{name: curves[i] for name, curves in split.items()} for i in range(len(own))], fluxes


def _shapes(listed: Points) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which listed points are detections, and which are limits."""
    known = _observed(listed)
    mag, error = np.isfinite(listed["magpsf"]), np.isfinite(listed["sigmapsf"])
    sign = listed["isdiffpos"] != _NONE_1
    limit = np.isfinite(listed["diffmaglim"])
    return known & mag & error & sign, known & ~mag & ~error & ~sign & limit


def _observed(listed: Points) -> NDArray[np.bool_]:
    """Which points have a time and a filter."""
    jd = listed["jd"]
    return np.asarray((jd >= 0) & (jd <= LAST_JD) & np.isin(listed["fid"], list(BANDS)), np.bool_)


def _columns(history: Sequence[Mapping[str, Any]], dtype: np.dtype[Any], alike: bool) -> dict[str, Sequence[Any]]:
    columns = packed_points.columns(history, dtype.names or (), alike=alike)
    for name, clean in _CLEAN.items():
        if name in columns:
            columns[name] = [clean(value) for value in columns[name]]
    return columns


def _pack_good(
    history: Sequence[Mapping[str, Any]], dtype: np.dtype[Any], alike: bool = False
) -> tuple[Points, Integers]:
    """Pack points; one that does not fit is dropped. Also gives the indices of those that are kept."""
    try:
        packed = packed_points.from_columns(_columns(history, dtype, alike), len(history), dtype)
        packed_points.drop_infinities(packed)
        return packed, np.arange(len(history))
    except BadRecord:
        if len(history) == 1:
            return packed_points.empty(0, dtype), np.arange(0)
    parts = [_pack_good([point], dtype)[0] for point in history]
    return np.concatenate(parts), np.flatnonzero([len(part) for part in parts])


def _fill_fluxes(detections: Points, count: int) -> list[dict[str, float]]:
    """Fluxes (nJy) of detections in place; those of the last `count` also as dictionaries."""
    own: list[dict[str, float]] = [{} for _ in range(count)]
    sign = np.where(detections["isdiffpos"] == 1, 1.0, -1.0)
    for mag, error, flux, flux_error, ratio in _FLUX_COLUMNS:
        values, errors = photometry.mag_to_flux(detections[mag], detections[error], sign)
        ratios = photometry.snr(values, errors)
        for name, column in ((flux, values), (flux_error, errors), (ratio, ratios)):
            detections[name] = column
            for fluxes, value in zip(own, column[len(column) - count :].tolist(), strict=True):
                if value == value:
                    fluxes[name] = value
    return own


def _limits(listed: Points) -> Points:
    limits = packed_points.empty(len(listed), _LIMIT)
    for name in limits.dtype.names or ():
        limits[name] = listed[name] if name != "psfFluxErr" else photometry.limit_to_fluxerr(listed["diffmaglim"])
    return limits


def _fill_forced(measured: Points) -> NDArray[np.bool_]:
    """Fluxes (nJy) of forced photometry in place; which points have time, filter, error and zero point.

    Magnitude, its error and the sign are set where the flux exceeds 3 times its error; the magnitude is that
    of the flux's absolute value at the image's zero point.
    """
    for name in ("forcediffimflux", "forcediffimfluxunc"):
        measured[name][measured[name] == _NO_FLUX] = np.nan
    counts = measured["forcediffimflux"].astype(np.float64)
    error = measured["forcediffimfluxunc"].astype(np.float64)
    measured["psfFlux"] = photometry.forced_to_flux(counts, measured["magzpsci"])
    measured["psfFluxErr"] = photometry.forced_to_flux(error, measured["magzpsci"])
    ratio = photometry.snr(counts, error)
    mag, mag_error = photometry.flux_to_mag(np.abs(counts), error, measured["magzpsci"])
    clear = ratio > photometry.SNR_LIMIT
    for name, column in (("magpsf", mag), ("sigmapsf", mag_error), ("snr_psf", ratio)):
        measured[name] = np.where(clear, column, np.nan)
    measured["isdiffpos"] = np.where(clear, counts > 0, _NONE_1)
    return np.asarray(_observed(measured) & (error > 0) & np.isfinite(measured["psfFluxErr"]), np.bool_)


def _split(packed: Points, owner: Integers, count: int) -> list[Points]:
    """Points of each owner, sorted by (jd, fid, candid); of points with one identity the last given.

    A point's identity is its candid, without one (jd, fid, programid).
    """
    candid = packed["candid"] if "candid" in (packed.dtype.names or ()) else np.full(len(packed), _NONE_8)
    place = packed["fid"].astype(np.int64) * 256 + packed["programid"]
    named = candid != _NONE_8
    first = np.where(named, candid, packed["jd"].view(np.int64) if len(packed) else candid)
    second = np.where(named, _NONE_8, place)
    order = np.lexsort((second, first, owner))
    keys = np.stack([owner[order], first[order], second[order]])
    last = np.append(np.any(keys[:, 1:] != keys[:, :-1], axis=0), True)[: len(packed)]
    kept = order[last]
    kept = kept[np.lexsort((candid[kept], packed["fid"][kept], packed["jd"][kept], owner[kept]))]
    done = packed[kept]
    bounds = np.searchsorted(owner[kept], np.arange(count + 1))
    return [done[a:b] for a, b in itertools.pairwise(bounds)]
