"""Records between stages: BSON, taken apart without decoding what a stage only passes on."""

from __future__ import annotations

from bson.codec_options import CodecOptions
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument

__all__ = ["fields", "julian_date"]

_OPTIONS: CodecOptions[RawBSONDocument] = DEFAULT_RAW_BSON_OPTIONS


def fields(value: bytes) -> RawBSONDocument:
    """Top-level fields of a record; sub-documents stay bytes until they are asked for, and are encoded as they are."""
    return RawBSONDocument(value, _OPTIONS)


def julian_date(timestamp_ms: float) -> float:
    """Julian date (UTC) of a record timestamp in milliseconds since 1970."""
    return timestamp_ms / 86_400_000.0 + 2_440_587.5
