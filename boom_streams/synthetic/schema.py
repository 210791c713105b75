"""Containers of made-up ZTF alerts: the fields of schema 4.02 in their order, one record a container.

Packet fields: https://zwickytransientfacility.github.io/ztf-avro-alert/schema.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from typing import Any

import fastavro
from fastavro.write import schemaless_writer

from boom_streams.avro.numbers import encode_long

__all__ = ["SYNC", "VERSION", "alert_schema", "container", "encode_point", "field_names"]

VERSION = "4.02"

#: Same in every container, so that the same alerts give the same bytes.
SYNC = b"boom_streams\0\0\0\0"

_Fields = Sequence[tuple[str, str]]

_DETECTION = (
    "chipsf magap sigmagap distnr magnr sigmagnr chinr sharpnr sky magdiff fwhm classtar mindtoedge magfromlim "
    "seeratio aimage bimage aimagerat bimagerat elong"
)

#: Types and names of the fields; a question mark: may be null.
_CANDIDATE: _Fields = (
    ("double", "jd"),
    ("int", "fid"),
    ("long", "pid"),
    ("float?", "diffmaglim"),
    ("string?", "pdiffimfilename programpi"),
    ("int", "programid"),
    ("long", "candid"),
    ("string", "isdiffpos"),
    ("long?", "tblid"),
    ("int?", "nid rcid field"),
    ("float?", "xpos ypos"),
    ("double", "ra dec"),
    ("float", "magpsf sigmapsf"),
    ("float?", _DETECTION),
    ("int?", "nneg nbad"),
    ("float?", "rb ssdistnr ssmagnr"),
    ("string?", "ssnamenr"),
    ("float?", "sumrat magapbig sigmagapbig"),
    ("double", "ranr decnr"),
    ("float?", "sgmag1 srmag1 simag1 szmag1 sgscore1 distpsnr1"),
    ("int", "ndethist ncovhist"),
    ("double?", "jdstarthist jdendhist scorr"),
    ("int?", "tooflag"),
    ("long?", "objectidps1 objectidps2"),
    ("float?", "sgmag2 srmag2 simag2 szmag2 sgscore2 distpsnr2"),
    ("long?", "objectidps3"),
    ("float?", "sgmag3 srmag3 simag3 szmag3 sgscore3 distpsnr3"),
    ("int", "nmtchps"),
    ("long", "rfid"),
    ("double", "jdstartref jdendref"),
    ("int", "nframesref"),
    ("string", "rbversion"),
    ("float?", "dsnrms ssnrms dsdiff magzpsci magzpsciunc magzpscirms"),
    ("int", "nmatches"),
    ("float?", "clrcoeff clrcounc zpclrcov zpmed clrmed clrrms"),
    ("float?", "neargaia neargaiabright maggaia maggaiabright exptime drb"),
    ("string", "drbversion"),
)

_PRV_CANDIDATE: _Fields = (
    ("double", "jd"),
    ("int", "fid"),
    ("long", "pid"),
    ("float?", "diffmaglim"),
    ("string?", "pdiffimfilename programpi"),
    ("int", "programid"),
    ("long?", "candid"),
    ("string?", "isdiffpos"),
    ("long?", "tblid"),
    ("int?", "nid rcid field"),
    ("float?", "xpos ypos"),
    ("double?", "ra dec"),
    ("float?", f"magpsf sigmapsf {_DETECTION}"),
    ("int?", "nneg nbad"),
    ("float?", "rb ssdistnr ssmagnr"),
    ("string?", "ssnamenr"),
    ("float?", "sumrat magapbig sigmagapbig"),
    ("double?", "ranr decnr scorr"),
    ("float?", "magzpsci magzpsciunc magzpscirms clrcoeff clrcounc"),
    ("string", "rbversion"),
)

_FP_HIST: _Fields = (
    ("int?", "field rcid"),
    ("int", "fid"),
    ("long", "pid rfid"),
    ("float?", "sciinpseeing scibckgnd scisigpix magzpsci magzpsciunc magzpscirms clrcoeff clrcounc exptime"),
    ("float?", "adpctdif1 adpctdif2 diffmaglim"),
    ("int", "programid"),
    ("double", "jd"),
    ("float?", "forcediffimflux forcediffimfluxunc"),
    ("string?", "procstatus"),
    ("float?", "distnr"),
    ("double", "ranr decnr"),
    ("float?", "magnr sigmagnr chinr sharpnr"),
)

_CUTOUT: _Fields = (("string", "fileName"), ("bytes", "stampData"))

_RECORDS = {"candidate": _CANDIDATE, "prv_candidate": _PRV_CANDIDATE, "fp_hist": _FP_HIST, "cutout": _CUTOUT}


def field_names(record: str) -> tuple[str, ...]:
    """Names of the fields of ``candidate``, ``prv_candidate``, ``fp_hist`` or ``cutout``, in their order."""
    return tuple(name for _, names in _RECORDS[record] for name in names.split())


def alert_schema() -> dict[str, Any]:
    """Avro schema of a packet."""
    fields: list[dict[str, Any]] = [
        {"name": "schemavsn", "type": "string"},
        {"name": "publisher", "type": "string"},
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        {"name": "candidate", "type": _record("candidate")},
    ]
    for name, record in (("prv_candidates", "prv_candidate"), ("fp_hists", "fp_hist")):
        fields.append({"name": name, "type": ["null", {"type": "array", "items": _record(record)}], "default": None})
    cutout: Any = _record("cutout")
    for name in ("cutoutScience", "cutoutTemplate", "cutoutDifference"):
        fields.append({"name": name, "type": ["null", cutout], "default": None})
        cutout = "ztf.alert.cutout"
    return {"type": "record", "name": "alert", "namespace": "ztf", "version": VERSION, "fields": fields}


def encode_point(record: str, point: Mapping[str, Any]) -> bytes:
    """Encode a point of a history, a ``prv_candidate`` or ``fp_hist``, once for all packets that list it."""
    return _encode(_parsed()[record], point)


def container(packet: Mapping[str, Any]) -> bytes:
    """Avro object container with one packet; the same bytes for the same packet.

    Parameters
    ----------
    packet
        Fields of the packet; ``prv_candidates`` and ``fp_hists`` are points as `encode_point` gives them, or None.
    """
    parsed = _parsed()
    data = b"".join(
        (
            _encode(parsed["head"], packet),
            _array(packet["prv_candidates"]),
            _array(packet["fp_hists"]),
            _encode(parsed["tail"], packet),
        )
    )
    return b"".join((_header(), encode_long(1), encode_long(len(data)), data, SYNC))


def _record(name: str) -> dict[str, Any]:
    fields = [_field(kind, field) for kind, names in _RECORDS[name] for field in names.split()]
    return {"type": "record", "name": name, "namespace": "ztf.alert", "fields": fields}


def _field(kind: str, name: str) -> dict[str, Any]:
    if not kind.endswith("?"):
        return {"name": name, "type": kind}
    return {"name": name, "type": ["null", kind.removesuffix("?")], "default": None}


def _encode(parsed: Any, fields: Mapping[str, Any]) -> bytes:
    out = BytesIO()
    schemaless_writer(out, parsed, fields, disable_tuple_notation=True)
    return out.getvalue()


def _array(points: Sequence[bytes] | None) -> bytes:
    """Null, or an array of encoded records: which of the two, blocks of a number and its records, an empty block."""
    if points is None:
        return encode_long(0)
    block = (encode_long(len(points)), *points) if points else ()
    return b"".join((encode_long(1), *block, encode_long(0)))


@cache
def _parsed() -> dict[str, Any]:
    """Parsed schemas of the points, and of a packet's fields before and after its histories."""
    whole = alert_schema()
    fields = whole["fields"]
    records = {name: _record(name) for name in ("prv_candidate", "fp_hist")}
    records |= {"head": whole | {"fields": fields[:-5]}, "tail": whole | {"fields": fields[-3:]}}
    return {name: fastavro.parse_schema(record) for name, record in records.items()}


@cache
def _header() -> bytes:
    """Start of every container, up to its first block."""
    empty = BytesIO()
    fastavro.writer(empty, alert_schema(), [], sync_marker=SYNC)
    return empty.getvalue()
