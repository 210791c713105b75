"""ZTF: alert packets of schema 1.1 to 4.02, as Avro object containers.

* Times: ``jd`` is the start of the exposure, UTC; ``exptime`` (30 s) is in the packet since schema 3.1
* Fluxes: true nJy, signed; see `boom_streams.astro.photometry`
* History: a point is a detection (magpsf, sigmapsf, isdiffpos) or a limit (none of these, and diffmaglim)
  x Anything between, and what has no time or no known filter, is dropped; the alert stays
  x Forced photometry in ``prv_candidates`` (test packets of schema 3.5) goes to ``fp_hists``
* Rights: programid 1 public, 2 partnership, 3 and any other: all of ZTF

Packet fields: https://zwickytransientfacility.github.io/ztf-avro-alert/schema.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from boom_streams.astro import sky
from boom_streams.avro import containers
from boom_streams.avro.columns import groups, read_columns
from boom_streams.avro.headers import read_header
from boom_streams.avro.schemas import Schema
from boom_streams.errors import BadRecord
from boom_streams.surveys.base import Alert, Position, Stamps, Survey
from boom_streams.surveys.checks import check_points, check_position, check_repeated, check_types
from boom_streams.surveys.packed_points import Points
from boom_streams.surveys.rights import Rights
from boom_streams.surveys.ztf.columns import column_histories, packet_rows
from boom_streams.surveys.ztf.documentation import DOCUMENTATION
from boom_streams.surveys.ztf.earlier import EARLIER
from boom_streams.surveys.ztf.fields import NUMBERS, TEXTS
from boom_streams.surveys.ztf.models import MODELS
from boom_streams.surveys.ztf.series import (
    BANDS,
    SERIES,
    Histories,
    light_curves,
    pack_detections,
    pack_histories,
    positive,
)

__all__ = ["RIGHTS", "SURVEY", "Ztf", "properties"]

#: Public (1), partnership (2), all of ZTF (3).
RIGHTS = Rights({1: 1, 2: 2, 3: 3}, field="programid")

_STAMPS = Stamps(
    science="cutoutScience",
    template="cutoutTemplate",
    difference="cutoutDifference",
    first_row="north",
    first_column="east",
    arcsec=1.012,
    turned=True,
)
_OBJECT_ID = re.compile(r"ZTF\d\d[a-z]{7}")
_F076, _F049, _F02 = (float(np.float32(threshold)) for threshold in (0.76, 0.49, 0.2))


class Ztf(Survey):
    """ZTF; see `boom_streams.surveys.base.Survey`."""

    name = "ZTF"
    about = "Zwicky Transient Facility"
    time = "start of the exposure"
    series = SERIES
    earlier = EARLIER
    rights = RIGHTS
    stamps = _STAMPS
    models = MODELS
    magnitude = ("magpsf", "sigmapsf")
    documentation = DOCUMENTATION
    document = ("schemavsn", "publisher")
    properties = ("rock", "star", "near_brightstar", "sso")

    def key_fields(self, schema: Schema) -> tuple[str, ...]:
        """Paths of objectId (alertId in schema 1.1), candid, jd, ra, dec; `BadRecord` if not ZTF's."""
        return schema.made("ZTF", lambda: self._key_fields(schema))

    def _key_fields(self, schema: Schema) -> tuple[str, str, str, str, str]:
        lacking = [name for name in ("candid", "candidate") if name not in schema.names]
        candid = "candid"
        if lacking == [candid] and candid in schema.kinds(("candidate",)):
            lacking, candid = [], "candidate.candid"
        object_id = "objectId" if "objectId" in schema.names else "alertId"
        if object_id not in schema.names:
            lacking.insert(0, "objectId")
        if lacking:
            raise BadRecord(f"no ZTF alert: its schema lacks {', '.join(lacking)}")
        check_repeated(schema)
        for part in ("candidate", "prv_candidates", "fp_hists"):
            check_types(schema, part, NUMBERS, TEXTS)
        return object_id, candid, "candidate.jd", "candidate.ra", "candidate.dec"

    def position(self, values: Sequence[Any]) -> Position:
        """Check ids, time and place; `BadRecord` names what is missing or impossible."""
        object_id, candid, jd, ra, dec = values
        return check_position(
            self.name, object_id, candid, {"candidate.jd": jd, "candidate.ra": ra, "candidate.dec": dec}
        )

    def decode(self, batch: Sequence[bytes]) -> list[Alert | BadRecord]:
        """Decode containers of one alert each; in place of a bad one its error (`NotSingle`: split it)."""
        out: list[Any] = [None] * len(batch)
        for schema, places, records in groups(batch):
            try:
                decoded = self._decode_columns(schema, records)
            except BadRecord:
                continue
            for place, alert in zip(places, decoded, strict=True):
                out[place] = alert
        rest = [place for place, alert in enumerate(out) if alert is None]
        for place, one in zip(rest, self._decode_records([batch[place] for place in rest]), strict=True):
            out[place] = one
        return out

    def _decode_columns(self, schema: Schema, records: Sequence[bytes]) -> list[Alert]:
        """Decode records of one schema together; `BadRecord` if any of them needs a closer look."""
        names = self.key_fields(schema)
        table = read_columns(records, schema)
        packets = [
            _Packet(schema, record, self._position_of(names, record), _candidate(record["candidate"]))
            for record in packet_rows(table, schema.convert)
        ]
        own, errors = pack_detections([{**p.candidate, "candid": p.position.candid} for p in packets])
        if errors:
            raise BadRecord("a detection does not fit its columns")
        histories = column_histories(table, "prv_candidates"), column_histories(table, "fp_hists")
        return _alerts(packets, own, *histories)

    def _decode_records(self, batch: Sequence[bytes]) -> list[Alert | BadRecord]:
        """Decode containers one by one."""
        out: list[Any] = []
        for container in batch:
            try:
                out.append(self._read(container))
            except BadRecord as error:
                out.append(error)
        read = [(place, item) for place, item in enumerate(out) if isinstance(item, _Read)]
        own, errors = pack_detections([{**r.packet.candidate, "candid": r.packet.position.candid} for _, r in read])
        for index, problem in errors.items():
            out[read[index][0]] = problem
        good = [pair for index, pair in enumerate(read) if index not in errors]
        alike = len({r.packet.schema for _, r in good}) == 1 and not any(r.moved for _, r in good)
        prv = pack_histories([r.prv for _, r in good], "prv_candidates", alike=alike)
        forced = pack_histories([r.forced for _, r in good], "fp_hists", alike=alike)
        for (place, _), alert in zip(good, _alerts([r.packet for _, r in good], own, prv, forced), strict=True):
            out[place] = alert
        return out

    def _position_of(self, names: Sequence[str], record: Mapping[str, Any]) -> Position:
        packet = record["candidate"]
        if not isinstance(packet, dict):
            raise BadRecord("no ZTF alert: candidate is missing")
        place = (packet.get(name) for name in ("jd", "ra", "dec"))
        candid = record["candid"] if names[1] == "candid" else packet.get("candid")
        return self.position((record[names[0]], candid, *place))

    def links(self, object_id: str) -> list[tuple[str, str]]:
        """The object at ALeRCE, which follows ZTF."""
        known = _OBJECT_ID.fullmatch(object_id)
        return [("ALeRCE", f"https://alerce.online/object/{quote(object_id)}")] if known else []

    def _read(self, container: bytes) -> _Read:
        names = self.key_fields(read_header(container).schema)
        schema, record = containers.read_one(container)
        position = self._position_of(names, record)
        histories = [record.get(name) or [] for name in ("prv_candidates", "fp_hists")]
        if not all(isinstance(h, list) and all(isinstance(p, dict) for p in h) for h in histories):
            raise BadRecord("no ZTF alert: its history is not a list of points")
        for history, name in zip(histories, ("prv_candidates", "fp_hists"), strict=True):
            check_points(history, name)
        prv, forced = histories
        moved = bool(prv) and "forcediffimflux" in prv[0]
        if moved:
            prv, forced = [], prv + forced
        return _Read(_Packet(schema, record, position, _candidate(record["candidate"])), prv, forced, moved)


@dataclass(slots=True)
class _Packet:
    """A decoded packet on its way to an `Alert`."""

    schema: Schema
    record: dict[str, Any]
    position: Position
    candidate: dict[str, Any]


@dataclass(slots=True)
class _Read:
    """A packet that was read by itself, and its histories.

    Attributes
    ----------
    moved
        Forced photometry lay in ``prv_candidates``.
    """

    packet: _Packet
    prv: list[dict[str, Any]]
    forced: list[dict[str, Any]]
    moved: bool


def properties(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what the packet's catalogue columns say: rock, star, near_brightstar, sso (as BOOM does).

    Absent scores count as 0, absent distances and magnitudes as infinite; thresholds are single precision, as
    the columns are. Distances are arcsec, magnitudes AB (PS1, Gaia G, V of the ephemeris).
    """

    def get(name: str, default: float = math.inf) -> float:
        value = candidate.get(name)
        return value if isinstance(value, (int, float)) else default

    distance = get("ssdistnr")
    sso: dict[str, Any] = {"is_sso": "ssnamenr" in candidate, "source": "ipac"}
    if sso["is_sso"]:
        sso["designation"] = candidate["ssnamenr"]
    if 0 <= distance < math.inf:
        sso["separation_arcsec"] = distance
    if get("ssmagnr") < math.inf:
        sso["predicted_mag"] = get("ssmagnr")
    return {
        "rock": 0 <= distance < 12 and get("ssmagnr") >= 0,
        "star": _is_star(get),
        "near_brightstar": _near_brightstar(get),
        "sso": sso,
    }


def _is_star(get: Callable[..., float]) -> bool:
    score, distance, red = get("sgscore1", 0.0), get("distpsnr1"), get("srmag1")
    if score > _F076 and 0 <= distance <= 2:
        return True
    return (
        score > _F02
        and 0 <= distance <= 1
        and red > 0
        and any(mag > 0 and red - mag > 3 for mag in (get("szmag1"), get("simag1")))
    )


def _near_brightstar(get: Callable[..., float]) -> bool:
    if 0 <= get("neargaiabright") <= 20 and 0 < get("maggaiabright") <= 12:
        return True
    for i in "123":
        if get("sgscore" + i, 0.0) > _F049 and get("distpsnr" + i) <= 20 and 0 < get("srmag" + i) <= 15:
            return True
    return (
        get("sgscore1", 0.0) == 0.5
        and get("distpsnr1") < 0.5
        and (get("sgmag1") < 17 or get("srmag1") < 17 or get("simag1") < 17)
    )


def _candidate(packet: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of the candidate that have a value, normalised; `BadRecord` if it is no detection."""
    finite = math.isfinite
    candidate = {
        name: value
        for name, value in packet.items()
        if value is not None and (type(value) is not float or finite(value))
    }
    for name in ("magpsf", "sigmapsf"):
        if not isinstance(candidate.get(name), (int, float)):
            raise BadRecord(f"candidate.{name} is missing")
    fid = candidate.get("fid")
    if not isinstance(fid, int) or fid not in BANDS:
        raise BadRecord(f"candidate.fid is {fid}, no filter of ZTF (1, 2, 3)")
    if "isdiffpos" not in candidate:
        raise BadRecord("candidate.isdiffpos is missing")
    candidate["isdiffpos"] = positive(candidate["isdiffpos"]) == 1
    if type(candidate.get("programid")) is not int:  # true is not 1: who may see it is not known
        candidate.pop("programid", None)
    if candidate.get("ssnamenr") in ("null", ""):
        del candidate["ssnamenr"]
    if candidate.get("ra") == 360.0:
        candidate["ra"] = 0.0
    candidate["band"] = BANDS[fid]
    return candidate


def _alerts(packets: list[_Packet], own: Points, prv: Histories, forced: Histories) -> list[Alert]:
    """Histories, fluxes and coordinates of a whole batch at once."""
    if not packets:
        return []
    series, fluxes = light_curves(own, prv, forced)
    for packet, values in zip(packets, fluxes, strict=True):
        packet.candidate.update(values)
    places = sky.coordinates([packet.position.ra for packet in packets], [packet.position.dec for packet in packets])
    alerts = []
    for packet, curves, place in zip(packets, series, places, strict=True):
        at, record, candidate = packet.position, packet.record, packet.candidate
        document = {
            "_id": at.candid,
            "objectId": at.object_id,
            "schemavsn": record.get("schemavsn") or packet.schema.version,
            "publisher": record.get("publisher"),
            "candidate": candidate,
            "coordinates": place,
        }
        alerts.append(
            Alert(
                survey="ZTF",
                object_id=at.object_id,
                candid=at.candid,
                jd=at.jd,
                ra=at.ra,
                dec=at.dec,
                programid=candidate.get("programid", 0),
                document={name: value for name, value in document.items() if value is not None},
                series=curves,
                cutouts=_cutouts(record),
                properties=properties(candidate),
                history_start=candidate.get("jdstarthist", math.nan),
            )
        )
    return alerts


def _cutouts(record: Mapping[str, Any]) -> dict[str, bytes]:
    stamps = {}
    for name in _STAMPS.names:
        stamp = record.get(name)
        data = stamp.get("stampData") if isinstance(stamp, dict) else None
        if data:
            stamps[name] = data
    return stamps


SURVEY = Ztf()
