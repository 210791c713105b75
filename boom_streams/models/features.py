"""What follows for models from an object's detections up to an alert."""

from __future__ import annotations

import math
from collections.abc import Mapping

from boom_streams.surveys import Survey
from boom_streams.surveys.model import History
from boom_streams.surveys.packed_points import Points

__all__ = ["History", "history"]


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
