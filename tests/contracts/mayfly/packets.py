"""Made-up packets of MAYFLY."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np
from astropy.io import fits

__all__ = ["NIGHT", "night", "packet"]

#: MJD of the night of the alerts.
NIGHT = 60000.25

_PLACE = [("t", "double"), ("band", "string")]
_FLUX = [*_PLACE, ("flux", "double"), ("error", "double")]
_SIGHTING = [*_FLUX, ("uid", "string"), ("ra", "double"), ("dec", "double"), ("realness", "float"), ("note", "string")]


def _record(name: str, fields: list[tuple[str, str]]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": field, "type": kind} for field, kind in fields]}


SCHEMA = {
    "type": "record",
    "name": "mayfly",
    "fields": [
        {"name": "source", "type": "string"},
        {"name": "sighting", "type": _record("sighting", _SIGHTING)},
        {"name": "before", "type": {"type": "array", "items": "sighting"}},
        {"name": "blanks", "type": {"type": "array", "items": _record("blank", [*_PLACE, ("limit", "double")])}},
        {
            "name": "remeasured",
            "type": {"type": "array", "items": _record("again", [*_FLUX, ("good", "boolean")])},
        },
        *({"name": name, "type": "bytes"} for name in ("new", "old", "change")),
    ],
}


def stamp(flux: float) -> bytes:
    """An image of 40 x 40 pixels with a star in it, not compressed."""
    rows, columns = np.mgrid[:40, :40]
    image = np.random.default_rng(2).normal(10, 1, (40, 40)) + flux * np.exp(
        -((rows - 20) ** 2 + (columns - 20) ** 2) / 6
    )
    stream = io.BytesIO()
    fits.PrimaryHDU(image.astype(np.float32)).writeto(stream)
    return stream.getvalue()


def sighting(source: str, night: int, **changes: Any) -> dict[str, Any]:
    """A sighting some nights from `NIGHT`."""
    number = sum(source.encode())
    return {
        **{"t": NIGHT + night, "band": ("blue", "red")[night % 2], "flux": 20.0 * (10 + night), "error": 2.0},
        **{"uid": f"{source}/{night}", "ra": float(number % 360), "dec": number % 90 + night * 1e-6, "realness": 0.75},
        "note": "seen through thin cloud " * 3,
        **changes,
    }


def packet(source: str = "mayfly one", night: int = 0, **changes: Any) -> bytes:
    """The alert of a night, with the sightings of the two nights before."""
    value = {
        "source": source,
        "sighting": sighting(source, night),
        "before": [sighting(source, night - before) for before in (2, 1)],
        "blanks": [{"t": NIGHT + night - 5, "band": "red", "limit": 30.0}],
        "remeasured": [
            {"t": NIGHT + night - 4.5, "band": "blue", "flux": 50.0, "error": 3.0, "good": True},
            {"t": NIGHT + night - 3.5, "band": "blue", "flux": 900.0, "error": 3.0, "good": False},
        ],
        "new": stamp(200.0),
        "old": stamp(50.0),
        "change": stamp(150.0),
    } | changes
    out = io.BytesIO()
    fastavro.writer(out, SCHEMA, [value])
    return out.getvalue()


def night() -> list[bytes]:
    """Alerts of three objects; the first was seen on three nights."""
    return [packet("mayfly one", n) for n in (0, 1, 2)] + [packet("mayfly two"), packet("mayfly: three:7")]
