"""Made-up packets in each schema version that ZTF has had: what came when, and what was called otherwise.

* 1.1 has a number, ``alertId``, in place of ``objectId``, and only detections in its history
* Until 1.3 one source of PS1 is listed, whose fields have no number: ``sgscore``
* 3.4 and 3.5 are those of test packets: their ``prv_candidates`` are forced photometry
* 4.01 brought ``fp_hists`` and turned the unions around: null comes first since
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import fastavro

from boom_streams.synthetic import schema

__all__ = ["VERSIONS", "alert_schema", "in_version"]

#: All versions, the earliest first.
VERSIONS = ("1.1", "1.3", "1.7", "1.8", "2.0", "3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "4.01", "4.02")

_ZERO_POINT = "magzpsci magzpsciunc magzpscirms clrcoeff clrcounc"
_SECOND = "sgmag2 srmag2 simag2 szmag2 sgscore2 distpsnr2"
_THIRD = "sgmag3 srmag3 simag3 szmag3 sgscore3 distpsnr3"

#: Fields that have not always been there: the version that brought them, by record.
_CAME = {
    "alert": {"1.3": "objectId", "2.0": "schemavsn publisher", "4.01": "fp_hists"},
    "candidate": {
        "1.3": "srmag1 simag1 szmag1",
        "1.7": f"distpsnr1 scorr tooflag objectidps1 objectidps2 objectidps3 nmtchps {_SECOND} {_THIRD}",
        "1.8": "rfid jdstartref jdendref nframesref",
        "2.0": "rbversion",
        "3.0": f"dsnrms ssnrms dsdiff nmatches zpclrcov zpmed clrmed clrrms {_ZERO_POINT} "
        "neargaia neargaiabright maggaia maggaiabright",
        "3.1": "exptime",
        "3.3": "drb drbversion",
    },
    "prv_candidate": {"1.7": "scorr", "2.0": "rbversion", "3.2": _ZERO_POINT},
    "fp_hist": {"3.5": "distnr ranr decnr magnr sigmagnr chinr sharpnr"},
    "cutout": {},
}
_FORCED = ("3.4", "3.5")
_NEAREST = ("sgmag1", "srmag1", "simag1", "szmag1", "sgscore1")
#: What a point of 1.1 cannot be without.
_OF_DETECTIONS = ("candid", "isdiffpos", "ra", "dec", "magpsf", "sigmapsf", "ranr", "decnr")


def alert_schema(version: str) -> dict[str, Any]:
    """Avro schema of the packets of a version."""
    whole = schema.alert_schema()
    fields = {field["name"]: field for field in whole["fields"]}
    points = fields["fp_hists" if version in _FORCED else "prv_candidates"]["type"][1]["items"]
    fields["prv_candidates"]["type"][1]["items"] = points
    kept = [_in_version(field, version) for field in _kept("alert", list(fields.values()), version)]
    if version == "1.1":
        kept.insert(0, {"name": "alertId", "type": "long"})
    return whole | {"version": version, "fields": kept}


def in_version(container: bytes, version: str) -> bytes:
    """The same alert as a packet of another version.

    Parameters
    ----------
    container
        Avro object container with one packet of the newest version.
    version
        One of `VERSIONS`.
    """
    if version == schema.VERSION:
        return container
    (packet,) = fastavro.reader(io.BytesIO(container))
    assert isinstance(packet, dict)
    candidate = packet["candidate"]
    packet |= {"schemavsn": version, "alertId": packet["candid"]}
    candidate |= {name.removesuffix("1"): candidate[name] for name in _NEAREST}
    if version in _FORCED:
        packet["prv_candidates"] = packet["fp_hists"]
    elif version == "1.1":
        packet["prv_candidates"] = [point for point in packet["prv_candidates"] or () if point["candid"] is not None]
    out = io.BytesIO()
    fastavro.writer(out, alert_schema(version), [packet], sync_marker=schema.SYNC)
    return out.getvalue()


def _kept(record: str, fields: list[dict[str, Any]], version: str) -> Iterator[dict[str, Any]]:
    """The fields that a record has in a version."""
    later = {name for since, names in _CAME[record].items() if _before(version, since) for name in names.split()}
    return (field for field in fields if field["name"] not in later)


def _in_version(field: dict[str, Any], version: str, record: str = "alert") -> dict[str, Any]:
    """A field as a version has it: its name, its type, and whether it may be null."""
    name, kind = field["name"], _type_in_version(field["type"], version)
    if record == "candidate" and name in _NEAREST and _before(version, "1.7"):
        name = name.removesuffix("1")
    if record == "prv_candidate" and name in _OF_DETECTIONS and version == "1.1":
        kind = next(branch for branch in kind if branch != "null")
    elif isinstance(kind, list) and _before(version, "4.01"):
        kind = [branch for branch in kind if branch != "null"] + ["null"]
    return {"name": name, "type": kind}


def _type_in_version(kind: Any, version: str) -> Any:
    if isinstance(kind, list):
        return [_type_in_version(branch, version) for branch in kind]
    if not isinstance(kind, dict):
        return kind
    if kind["type"] == "array":
        return kind | {"items": _type_in_version(kind["items"], version)}
    record = kind["name"]
    name = "prv_candidate" if record == "fp_hist" and version in _FORCED else record
    kept = _kept(record, kind["fields"], version)
    return kind | {"name": name, "fields": [_in_version(field, version, record) for field in kept]}


def _before(version: str, other: str) -> bool:
    return VERSIONS.index(version) < VERSIONS.index(other)
