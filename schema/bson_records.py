"""Records between stages: BSON, taken apart without decoding what a stage only passes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import bson
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument

from boom_streams.errors import BadRecord
from boom_streams.schema import formats
from boom_streams.surveys import Survey, get_survey

__all__ = ["ENVELOPE", "PACKED", "POSITION", "envelope", "fields", "position", "stated"]

#: What tells where an alert is, and of which object; all that a margin record says of it.
POSITION = ("survey", "objectId", "candid", "jd", "ra", "dec")

#: What every record between stages carries of its alert.
ENVELOPE = (*POSITION, "programid", "received")

#: Fields with packed light curves.
PACKED = ("series", "changed")

_OPTIONS: CodecOptions[RawBSONDocument] = DEFAULT_RAW_BSON_OPTIONS

#: `enriched` and `classified` have one version.
_VERSION = formats.ENRICHED.version


class Placed(Protocol):
    """Anything that is somewhere at some time: an alert, or its position alone."""

    @property
    def object_id(self) -> str:
        """The survey's name of the object."""

    @property
    def candid(self) -> int:
        """The survey's number of the alert."""

    @property
    def jd(self) -> float:
        """Julian date, UTC."""

    @property
    def ra(self) -> float:
        """ICRS degrees."""

    @property
    def dec(self) -> float:
        """ICRS degrees."""


def fields(value: bytes) -> RawBSONDocument:
    """Top-level fields of a record; sub-documents stay bytes until they are asked for, and are encoded as they are.

    A record of an earlier release is given as this one would have written it.

    Raises
    ------
    BadRecord
        If it says neither a survey nor a version.
    FormatError
        If a newer release wrote it.
    """
    record = RawBSONDocument(value, _OPTIONS)
    try:
        packing = formats.packing(get_survey(record["survey"]))
        if record["v"] == _VERSION and record["columns"] == packing.mark:
            return record
        return _converted(record, packing)
    except KeyError as error:
        raise BadRecord(f"the record has no {error}") from None


def position(survey: str, at: Placed) -> dict[str, Any]:
    """The fields of `POSITION`."""
    return {
        "survey": survey,
        "objectId": at.object_id,
        "candid": Int64(at.candid),
        "jd": at.jd,
        "ra": at.ra,
        "dec": at.dec,
    }


def envelope(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `ENVELOPE`, as a record that follows from this one carries them on."""
    return {name: record[name] for name in ENVELOPE} | {"candid": Int64(record["candid"])}


def stated(survey: Survey) -> dict[str, Any]:
    """What a record says of its format: the version, and the fingerprint of its packed columns."""
    return {"v": _VERSION, "columns": formats.packing(survey).mark}


def _converted(record: RawBSONDocument, packing: formats.Packing) -> RawBSONDocument:
    version = formats.ENRICHED.check(record["v"])
    mark = str(record["columns"]) if version > 1 else None
    packing.of(mark)
    new: dict[str, Any] = {**dict(record.items()), "v": _VERSION, "columns": packing.mark}
    for name in PACKED:
        if name in record:
            new[name] = packing.convert(bson.decode(record[name].raw), mark)
    return RawBSONDocument(bson.encode(new), _OPTIONS)
