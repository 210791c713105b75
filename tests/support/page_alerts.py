"""Filtered records of made-up alerts, for tests of the page."""

from __future__ import annotations

import gzip
import io
from typing import Any

import numpy as np
from astropy.io import fits

JD = 2459540.75


def fits_stamp(values: Any) -> bytes:
    """A stamp as ZTF publishes it."""
    stream = io.BytesIO()
    fits.PrimaryHDU(np.asarray(values, np.float32)).writeto(stream)
    return gzip.compress(stream.getvalue(), 1)


def star(row: int, column: int, *, size: int = 63) -> Any:
    """Pixels: a star on a noisy background."""
    rows, columns = np.mgrid[:size, :size]
    distance = (rows - row) ** 2 + (columns - column) ** 2
    noise = np.random.default_rng(1).normal(100, 5, (size, size))
    return (noise + 2000 * np.exp(-distance / 8)).astype(np.float32)


def point(
    days: float, band: str = "g", origin: str = "alert", flux: float | None = 1e5, error: float | None = 5e3
) -> dict[str, Any]:
    """A point some days from the alert; flux and error in nJy."""
    return {
        **{"jd": JD + days, "band": band, "origin": origin, "flux": flux, "flux_error": error},
        **{"ra": 150.1, "dec": -20.5, "programid": 1, "survey": "ZTF"},
    }


def passed(name: str = "fast", annotations: str = '{"age": 3.25}', fid: str = "v1") -> dict[str, str]:
    """A filter that an alert passed."""
    return {"filter_id": f"id-{name}", "name": name, "fid": fid, "annotations": annotations}


def alert(candid: int = 1, **changes: Any) -> dict[str, Any]:
    """A filtered record, decoded."""
    stamp = fits_stamp(star(40, 20))
    return {
        **{"survey": "ZTF", "objectId": f"ZTF21aaaaaa{chr(97 + candid % 26)}", "candid": candid, "jd": JD},
        **{"ra": 150.123456, "dec": -20.5, "programid": 1, "received": JD + 0.01},
        **{"band": "g", "magnitude": 18.9, "magnitude_error": 0.05, "history": "complete"},
        "filters": [passed()],
        "classifications": [],
        "photometry": [point(-3, "r", flux=5e4), point(0)],
        **{"cutoutScience": stamp, "cutoutTemplate": stamp, "cutoutDifference": stamp, "cutouts_missing": None},
        **changes,
    }
