"""Made-up ZTF packets."""

from __future__ import annotations

import io
from typing import Any

import fastavro

from boom_streams.surveys import Alert, get_survey

ZTF = get_survey("ztf")

TYPES = {"fid": "int", "programid": "int", "pid": "long", "candid": "long", "field": "long", "rfid": "long"}
TEXTS = ("isdiffpos", "ssnamenr", "procstatus", "drbversion")
POINT_FIELDS = [
    "jd",
    "fid",
    "pid",
    "programid",
    "candid",
    "isdiffpos",
    "field",
    "ra",
    "dec",
    "magpsf",
    "sigmapsf",
    "magap",
    "sigmagap",
    "diffmaglim",
    "rb",
    "ssnamenr",
]
FORCED_FIELDS = [
    "jd",
    "fid",
    "pid",
    "programid",
    "rfid",
    "magzpsci",
    "diffmaglim",
    "forcediffimflux",
    "forcediffimfluxunc",
    "procstatus",
]
CANDIDATE_FIELDS = [
    *POINT_FIELDS,
    *["drb", "ssdistnr", "ssmagnr", "sgscore1", "jdstarthist", "drbversion", "nothing"],
]


def record_schema(name: str, fields: list[str]) -> dict[str, Any]:
    kinds = {name: TYPES.get(name, "string" if name in TEXTS else "double") for name in fields}
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": field, "type": ["null", kind]} for field, kind in kinds.items()],
    }


def packet_schema(*, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    stamp = {
        "type": "record",
        "name": "stamp",
        "fields": [{"name": "fileName", "type": "string"}, {"name": "stampData", "type": ["null", "bytes"]}],
    }
    fields = [
        {"name": "schemavsn", "type": "string"},
        {"name": "publisher", "type": "string"},
        {"name": "objectId", "type": ["null", "string"]},
        {"name": "candid", "type": ["null", "long"]},
        {"name": "candidate", "type": ["null", record_schema("candidate", CANDIDATE_FIELDS)]},
        {
            "name": "prv_candidates",
            "type": ["null", {"type": "array", "items": record_schema("p", POINT_FIELDS)}],
        },
        {"name": "fp_hists", "type": ["null", {"type": "array", "items": record_schema("f", FORCED_FIELDS)}]},
        {"name": "cutoutScience", "type": ["null", stamp]},
        {"name": "cutoutTemplate", "type": ["null", "stamp"]},
    ]
    return {"type": "record", "name": "alert", "fields": [f for f in fields if f["name"] not in leave_out]}


def candidate(**changes: Any) -> dict[str, Any]:
    own = {"jd": 2460000.5, "fid": 1, "pid": 7, "programid": 1, "candid": 42, "isdiffpos": "t", "ra": 10.0}
    return own | {"dec": 20.0, "magpsf": 18.0, "sigmapsf": 0.1, "magap": 18.1, "sigmagap": 0.2, "drb": 0.9} | changes


def detection(jd: float, candid: int | None, **changes: Any) -> dict[str, Any]:
    return candidate(jd=jd, candid=candid, **changes)


def limit(jd: float, **changes: Any) -> dict[str, Any]:
    return {"jd": jd, "fid": 1, "programid": 1, "diffmaglim": 20.0} | changes


def forced(jd: float, flux: float | None, error: float | None = 10.0, **changes: Any) -> dict[str, Any]:
    point = {"jd": jd, "fid": 2, "programid": 1, "magzpsci": 26.0, "procstatus": "0"}
    return point | {"forcediffimflux": flux, "forcediffimfluxunc": error} | changes


def container(packet: dict[str, Any] | None = None, *, leave_out: tuple[str, ...] = (), **changes: Any) -> bytes:
    whole = {"schemavsn": "9.9", "publisher": "made up", "objectId": "ZTF00aaaaaaa", "candid": 42}
    whole |= {"candidate": candidate(), "cutoutScience": {"fileName": "x", "stampData": b"gz"}} | changes
    out = io.BytesIO()
    fastavro.writer(out, packet_schema(leave_out=leave_out), [packet or whole])
    return out.getvalue()


def decode(data: bytes) -> Alert:
    (alert,) = ZTF.decode([data])
    assert isinstance(alert, Alert), alert
    return alert
