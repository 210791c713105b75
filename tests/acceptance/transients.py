"""Fast transients, made from a real packet: two alerts of each object, a day apart."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import fastavro

__all__ = ["FAST", "SLOW", "fast_transients"]

#: Objects that change fast, with their g magnitudes at discovery and a day later.
FAST = {"ZTF24fastris": (20.1, 18.9), "ZTF24fastfad": (18.4, 19.3)}

#: One that changes by 0.05 mag a day, and is no fast transient.
SLOW = {"ZTF24slowris": (19.0, 18.95)}

_DISCOVERED = 2460450.9  # 2024-05-20
_OFFSET = 0.9951  # days from one alert to the next
_LAST_LIMIT = 1.97  # days from the last limit to the discovery

#: A point source beside a faint galaxy, far from bright stars and from moving objects.
_SURROUNDINGS: dict[str, Any] = {
    "rb": 0.91, "drb": 0.9993, "nbad": 0, "fwhm": 2.1, "elong": 1.05, "isdiffpos": "t", "programid": 1, "fid": 1,
    "sgscore1": 0.02, "distpsnr1": 4.3, "sgmag1": 20.9, "srmag1": 20.2, "simag1": 19.9,
    "sgscore2": 0.6, "distpsnr2": 18.0, "sgmag2": 21.6, "srmag2": 20.8, "simag2": 20.5,
    "sgscore3": 0.4, "distpsnr3": 25.0, "sgmag3": 21.9, "srmag3": 21.2, "simag3": 20.7,
    "ssdistnr": -999.0, "ssmagnr": -999.0, "ssnamenr": "null", "ncovhist": 412,
}  # fmt: skip


def fast_transients(folder: Path, packet: Path) -> list[Path]:
    """Write the packets of all objects, discoveries first; made from the real ``packet``, with its schema."""
    with packet.open("rb") as file:
        reader = fastavro.reader(file)
        schema = reader.writer_schema
        (real,) = reader
    assert schema is not None
    written = []
    for epoch in (0, 1):
        for number, (name, magnitudes) in enumerate({**FAST, **SLOW}.items()):
            made = _packet(real, name, number, magnitudes[: epoch + 1])
            out = io.BytesIO()
            fastavro.writer(out, schema, [made], codec="deflate")
            path = folder / f"{epoch}_{name}.avro"
            path.write_bytes(out.getvalue())
            written.append(path)
    return written


def _packet(real: dict[str, Any], name: str, number: int, magnitudes: tuple[float, ...]) -> dict[str, Any]:
    """The packet of an object's newest detection, with those before it and one limit as its history."""
    detections = [_detection(real["candidate"], number, epoch, m) for epoch, m in enumerate(magnitudes)]
    *before, newest = detections
    history = [_limit(real), *(_as_point(real, one) for one in before)]
    newest |= {"jdstarthist": _DISCOVERED, "jdendhist": newest["jd"], "ndethist": len(detections)}
    changed = {"objectId": name, "candid": newest["candid"], "candidate": newest, "prv_candidates": history}
    return {**copy.deepcopy(real), **changed, "fp_hists": None}


def _detection(candidate: dict[str, Any], number: int, epoch: int, magnitude: float) -> dict[str, Any]:
    jd = _DISCOVERED + epoch * _OFFSET
    pid = 2700400000000 + 1000 * epoch
    return {
        **copy.deepcopy(candidate),
        **_SURROUNDINGS,
        "jd": jd,
        "pid": pid,
        "candid": pid * 1_000_000 + 15_000 + number,
        "ra": 210.0 + 0.01 * number + 0.00001 * epoch,
        "dec": 31.0 + 0.00001 * epoch,
        "magpsf": magnitude,
        "sigmapsf": 0.04 * 10 ** (0.3 * (magnitude - 18.0)),
        "magap": magnitude + 0.05,
        "sigmagap": 0.06,
        "diffmaglim": 20.6,
    }


def _as_point(real: dict[str, Any], detection: dict[str, Any]) -> dict[str, Any]:
    """A detection as a point of the history: the fields that the real history has."""
    return {name: detection[name] for name in real["prv_candidates"][0] if name in detection}


def _limit(real: dict[str, Any]) -> dict[str, Any]:
    """A night on which nothing was seen, before the discovery."""
    kept = {"fid", "field", "rcid", "programid", "programpi", "pdiffimfilename", "magzpsci", "rbversion"}
    point = {name: (value if name in kept else None) for name, value in real["prv_candidates"][0].items()}
    return point | {"jd": _DISCOVERED - _LAST_LIMIT, "fid": 1, "pid": 2700380000000, "diffmaglim": 20.5}
