"""What MAYFLY says of itself, and its packets' decoder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from boom_streams.astro import photometry, sky
from boom_streams.avro import containers
from boom_streams.avro.schemas import Schema
from boom_streams.errors import BadRecord
from boom_streams.surveys import Alert, Position, Series, Stamps, Survey, packed_points
from boom_streams.surveys.base import Measured
from boom_streams.surveys.packed_points import Points
from boom_streams.surveys.rights import Rights
from tests.contracts.mayfly.packets import night

__all__ = ["SURVEY", "Mayfly"]

BANDS = {b"blue": "blue", b"red": "red"}
_JD = 2400000.5
_NJY = 1000.0  # fluxes are µJy in packets

_MEASURED = [("jd", "f8"), ("band", "S4"), ("flux", "f8"), ("flux_error", "f8")]
SIGHTINGS = Series(
    "sightings",
    "detection",
    np.dtype([*_MEASURED, ("candid", "i8"), ("ra", "f8"), ("dec", "f8"), ("realness", "f4")]),
    BANDS,
    flux="flux",
    flux_error="flux_error",
)
BLANKS = Series(
    "blanks",
    "limit",
    np.dtype([("jd", "f8"), ("band", "S4"), ("flux_error", "f8")]),
    BANDS,
    flux_error="flux_error",
)
REMEASURED = Series(
    "remeasured",
    "forced",
    np.dtype([*_MEASURED, ("good", "i1")]),
    BANDS,
    flux="flux",
    flux_error="flux_error",
    booleans=frozenset({"good"}),
    usable=lambda points: points["good"] == 1,
)


class Mayfly(Survey):
    """A survey that does not exist."""

    name = "MAYFLY"
    about = "A survey that does not exist"
    time = "middle of the exposure"
    series: ClassVar = {series.name: series for series in (SIGHTINGS, BLANKS, REMEASURED)}
    rights = Rights({1: 1})
    stamps = Stamps("new", "old", "change", format="FITS", first_row="south", first_column="east", arcsec=0.5)
    properties = ("bright",)
    documentation: ClassVar = {
        "jd": "Julian date, UTC.",
        "ra": "Right ascension, ICRS, degrees.",
        "dec": "Declination, ICRS, degrees.",
        "band": "Band: blue or red.",
        "candid": "Number made from the sighting's name.",
        "uid": "Name of the sighting.",
        "flux": "Difference flux, nJy.",
        "flux_error": "Its error, nJy; of a blank, a fifth of the limiting flux.",
        "realness": "Whether it is real, 0 to 1.",
        "good": "Whether the image was good.",
        "note": "What the observer said.",
    }

    def key_fields(self, schema: Schema) -> Sequence[str]:
        """Paths of name, uid, t, ra, dec."""
        if not {"source", "sighting"} <= schema.names:
            raise BadRecord("no MAYFLY alert: its schema lacks source or sighting")
        return "source", "sighting.uid", "sighting.t", "sighting.ra", "sighting.dec"

    def position(self, values: Sequence[Any]) -> Position:
        """Check ids, time and place."""
        source, uid, t, ra, dec = values
        if not source or not uid:
            raise BadRecord("no MAYFLY alert: it has no name")
        if not all(isinstance(value, float) and math.isfinite(value) for value in (t, ra, dec)):
            raise BadRecord("no MAYFLY alert: it has no time or place")
        if not (0 <= ra < 360 and -90 <= dec <= 90 and 0 <= t < 1e6):
            raise BadRecord(f"no MAYFLY alert: it was at {ra}, {dec}, {t}")
        return Position(source, candid_of(uid), t + _JD, ra, dec)

    def decode(self, batch: Sequence[bytes]) -> list[Alert | BadRecord]:
        """Decode containers one by one."""
        return [self._decode(container) for container in batch]

    def measured(self, candidate: Mapping[str, Any]) -> Measured:
        """Magnitudes follow from fluxes."""
        magnitude, error = photometry.flux_to_mag(abs(candidate["flux"]), candidate["flux_error"])
        return Measured(candidate["band"], float(magnitude), float(error))

    def links(self, object_id: str) -> list[tuple[str, str]]:
        """Its own page about the object."""
        return [("Mayfly", f"https://mayfly.example/{object_id}")]

    def _decode(self, container: bytes) -> Alert | BadRecord:
        try:
            schema, record = containers.read_one(container)
            self.key_fields(schema)
            own = record["sighting"]
            at = self.position((record["source"], *(own[name] for name in ("uid", "t", "ra", "dec"))))
            if own["band"] not in BANDS.values():
                raise BadRecord(f"sighting.band is {own['band']}")
            return self._alert(at, record, own)
        except BadRecord as error:
            return error

    def samples(self, count: int, seed: int) -> list[bytes]:
        """Alerts of a night; it is always the same."""
        return night()[:count]

    def _alert(self, at: Position, record: Mapping[str, Any], own: Mapping[str, Any]) -> Alert:
        candidate = {**_point(own), "uid": own["uid"], "note": own["note"]}
        points = {
            "sightings": [*record["before"], own],
            "blanks": record["blanks"],
            "remeasured": record["remeasured"],
        }
        return Alert(
            survey=self.name,
            object_id=at.object_id,
            candid=at.candid,
            jd=at.jd,
            ra=at.ra,
            dec=at.dec,
            programid=1,
            document={
                "_id": at.candid,
                "objectId": at.object_id,
                "candidate": {name: value for name, value in candidate.items() if name != "candid"},
                "coordinates": sky.coordinates([at.ra], [at.dec])[0],
            },
            series={name: _packed(self.series[name], listed) for name, listed in points.items()},
            cutouts={name: record[name] for name in self.stamps.names if record[name]},
            properties={"bright": own["flux"] > 100},
            history_start=math.nan,
        )


def candid_of(uid: str) -> int:
    """Number of a sighting: 63 bits of its name's hash."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big") >> 1


def _point(raw: Mapping[str, Any]) -> dict[str, Any]:
    point = {"jd": raw["t"] + _JD, "band": raw["band"]}
    if "limit" in raw:
        return {**point, "flux_error": raw["limit"] * _NJY / 5}
    point |= {"flux": raw["flux"] * _NJY, "flux_error": raw["error"] * _NJY}
    if "uid" in raw:
        point |= {"candid": candid_of(raw["uid"]), **{name: raw[name] for name in ("ra", "dec", "realness")}}
    if "good" in raw:
        point["good"] = raw["good"]
    return point


def _packed(series: Series, listed: Sequence[Mapping[str, Any]]) -> Points:
    return series.arranged(packed_points.pack([_point(raw) for raw in listed], series.dtype))


SURVEY = Mayfly()
