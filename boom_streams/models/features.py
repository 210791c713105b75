"""Numbers beside the images that the models look at, in their authors' order and units.

ACAI (Duev & van der Walt 2021, arXiv:2111.12142) takes 25 fields of the candidate; BTSbot (Rehemtulla et al. 2024,
arXiv:2401.15167) 18 of them and 7 that follow from the object's detections up to the alert.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from boom_streams.errors import BadRecord
from boom_streams.surveys import Survey
from boom_streams.surveys.packed_points import Points

__all__ = ["ACAI", "BTSBOT", "History", "acai", "btsbot", "history"]

#: Fields of the candidate, in ACAI's order.
ACAI = (
    *("drb", "diffmaglim", "ra", "dec", "magpsf", "sigmapsf", "chipsf", "fwhm", "sky", "chinr", "sharpnr"),
    *("sgscore1", "distpsnr1", "sgscore2", "distpsnr2", "sgscore3", "distpsnr3", "ndethist", "ncovhist", "scorr"),
    *("nmtchps", "clrcoeff", "clrcounc", "neargaia", "neargaiabright"),
)

#: BTSbot's metadata in its order; its `drb` is the packet's.
BTSBOT = (
    *("sgscore1", "distpsnr1", "sgscore2", "distpsnr2", "fwhm", "magpsf", "sigmapsf", "chipsf", "ra", "dec"),
    *("diffmaglim", "ndethist", "nmtchps", "age", "days_since_peak", "days_to_peak", "peakmag", "drb", "ncovhist"),
    *("nnondet", "chinr", "sharpnr", "scorr", "sky", "faintestmag"),
)


class History(NamedTuple):
    """What BTSbot asks of an object's detections up to the alert, magnitudes of any band; days."""

    age: float
    """From the first detection to the alert."""
    days_since_peak: float
    days_to_peak: float
    """From the first detection to the brightest."""
    peakmag: float
    faintestmag: float


def acai(candidate: Mapping[str, Any]) -> list[float]:
    """ACAI's features of a candidate; `BadRecord` names those that are missing."""
    return _values(candidate, ACAI)


def btsbot(candidate: Mapping[str, Any], past: History) -> list[float]:
    """BTSbot's metadata of a candidate; `BadRecord` names what is missing."""
    counts = [candidate.get(name) for name in ("ncovhist", "ndethist")]
    nnondet = counts[0] - counts[1] if None not in counts else None  # type: ignore[operator]
    return _values({**candidate, **past._asdict(), "nnondet": nnondet}, BTSBOT)


def history(survey: Survey, series: Mapping[str, Points], jd: float, programid: int) -> History:
    """Peak, faintest magnitude and times of an object's detections, not of its forced photometry.

    Parameters
    ----------
    series
        Light curve as known at the alert, packed; the alert's own detection is among its detections.
    jd, programid
        Of the alert; only points up to its time, and only those that everyone who may see it may see, are used.
    """
    detections = survey.detections
    points = series[detections.name]
    magnitudes, _ = detections.magnitudes(points)
    columns = (points["jd"], magnitudes, survey.rights.derivable(points, programid))
    seen = [
        (time, magnitude)
        for time, magnitude, visible in zip(*(column.tolist() for column in columns), strict=True)
        if time <= jd and visible and math.isfinite(magnitude)
    ]
    if not seen:
        return History(*[math.nan] * 5)
    first = min(time for time, _ in seen)
    faintest = max(magnitude for _, magnitude in seen)
    peakmag, peak = min((magnitude, time) for time, magnitude in seen)
    return History(jd - first, jd - peak, peak - first, peakmag, faintest)


def _values(known: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    values = [known.get(name) for name in names]
    missing = [name for name, value in zip(names, values, strict=True) if value is None or not math.isfinite(value)]
    if missing:
        raise BadRecord(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return [float(value) for value in values]  # type: ignore[arg-type]
