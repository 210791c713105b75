"""Records between stages: BSON, taken apart without decoding what a stage only passes on."""

from __future__ import annotations

from bson.codec_options import CodecOptions
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument

__all__ = ["fields"]

_OPTIONS: CodecOptions[RawBSONDocument] = DEFAULT_RAW_BSON_OPTIONS


def fields(value: bytes) -> RawBSONDocument:
    """Top-level fields of a record; sub-documents stay bytes until they are asked for, and are encoded as they are."""
    return RawBSONDocument(value, _OPTIONS)
