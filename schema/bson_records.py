"""Records between stages: BSON, taken apart without decoding what a stage only passes on."""

from __future__ import annotations

from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument

from boom_streams.errors import BadRecord
from boom_streams.schema import formats
from boom_streams.surveys import Survey, get_survey

__all__ = ["PACKED", "fields", "stated"]

#: Fields with packed light curves.
PACKED = ("series", "changed")

_OPTIONS: CodecOptions[RawBSONDocument] = DEFAULT_RAW_BSON_OPTIONS

#: `enriched` and `classified` have one version.
_VERSION = formats.ENRICHED.version


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
