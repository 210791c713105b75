"""Records of ``filtered.<name>`` and ``<survey>.filtered``: Avro containers that any Avro library reads alone."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import bson
import fastavro
from fastavro.read import SchemaResolutionError

from boom_streams.avro.numbers import encode_long
from boom_streams.errors import BadRecord, FormatError
from boom_streams.schema import bson_records, formats
from boom_streams.surveys import Survey
from boom_streams.surveys.packed_points import Points
from boom_streams.surveys.series import Role

__all__ = ["Body", "Passed", "check_version", "decode_filtered", "decode_matches", "encode_body", "filtered_schema"]

#: Entry of a container's metadata that says the version of the format.
_VERSION = "boom.version"
_METADATA = {_VERSION: str(formats.FILTERED.version)}
#: Most bytes of annotations in one record; the filters of an alert that have more come in several.
MAX_FILTERS = 2 << 20

_SYNC = b"boom_streams/v1\n"
_LONGEST = 200  # characters of another library's error
_ONE = encode_long(1)  # how many records the container has
_STAMPS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")
_POINT = ("jd", "band", "origin", "flux", "flux_error", "ra", "dec", "programid")
_ORIGINS: Mapping[Role, str] = {"detection": "alert", "limit": "limit", "forced": "forced"}


class Passed(NamedTuple):
    """A filter that the alert passed.

    Attributes
    ----------
    fid
        Version of the filter.
    annotations
        What the filter projected, JSON.
    """

    filter_id: str
    name: str
    fid: str
    annotations: str


@cache
def filtered_schema() -> Any:
    """Parsed Avro schema of filtered records, the same text in every process."""
    parsed = fastavro.parse_schema(_source())
    return json.loads(json.dumps(parsed, sort_keys=True))  # fastavro's own order is that of a set of strings


def _source() -> Any:
    return json.loads(files("boom_streams.schema").joinpath("avro/filtered/1/filtered.avsc").read_text())


@dataclass(frozen=True, slots=True)
class Body:
    """A filtered record without its filters, encoded once for all of them."""

    before: bytes
    after: bytes

    def container(self, passed: Sequence[Passed]) -> tuple[bytes, ...]:
        """The Avro container with the filters put in their place, in pieces of which the containers share the large."""
        parts = _parts()
        filters = _encode(parts.filters, {"filters": [entry._asdict() for entry in passed]})
        size = len(self.before) + len(filters) + len(self.after)
        return parts.header, _ONE, encode_long(size), self.before, filters, self.after, _SYNC

    def containers(self, passed: Sequence[Passed]) -> Iterator[tuple[bytes, ...]]:
        """Containers that have the filters between them, each at most `MAX_FILTERS` bytes of annotations."""
        part: list[Passed] = []
        size = 0
        for entry in passed:
            if part and size + len(entry.annotations) > MAX_FILTERS:
                yield self.container(part)
                part, size = [], 0
            part.append(entry)
            size += len(entry.annotations)
        if part:
            yield self.container(part)


def encode_body(
    survey: Survey, record: Mapping[str, Any], programmes: frozenset[int], cutouts: Mapping[str, bytes] | None
) -> Body:
    """Encode what filtered records of an alert have in common; the same bytes for the same input.

    Stamps are compressed already, so the container is not.

    Parameters
    ----------
    survey
        Adapter of the survey.
    record
        The classified record, as `boom_streams.schema.bson_records.fields` gives it.
    programmes
        Those of the survey whose points the reader may see.
    cutouts
        Stamps as received; None when the archive does not have them.
    """
    before = {
        **bson_records.envelope(record),
        **survey.measured(record["alert"]["candidate"])._asdict(),
        "history": record["history"],
    }
    after = {
        "classifications": [
            {"classifier": name, "score": score, "version": record["models"].get(name)}
            for name, score in sorted(record["classifications"].items())
        ],
        "photometry": _photometry(survey, record, programmes),
        **{name: (cutouts or {}).get(own) for name, own in zip(_STAMPS, survey.stamps.names, strict=True)},
        "cutouts_missing": None if cutouts else "the archive has no cutouts of this alert",
    }
    return Body(_encode(_parts().before, before), _encode(_parts().after, after))


def decode_filtered(value: bytes) -> dict[str, Any]:
    """Read one filtered record.

    Raises
    ------
    FormatError
        If a newer release wrote it.
    BadRecord
        If it is none.
    """
    try:
        reader = fastavro.reader(io.BytesIO(value), filtered_schema())
        check_version(reader.metadata)
        (record,) = reader
    except FormatError:
        raise
    except SchemaResolutionError:  # its text is both schemas, whole
        raise BadRecord("an Avro object container of other records than alerts that passed a filter") from None
    except Exception as error:  # whatever a foreign record makes the library do
        text = str(error)[:_LONGEST]
        raise BadRecord(f"no Avro object container with one alert that passed a filter: {text}") from None
    return record  # type: ignore[return-value]


def check_version(metadata: Mapping[str, Any]) -> None:
    """Make sure that this release reads a filtered record, from what its container says; `FormatError` if not."""
    version = str(metadata.get(_VERSION, "1"))
    formats.FILTERED.check(int(version) if version.isascii() and version.isdigit() else version)


def decode_matches(value: bytes) -> dict[str, Any]:
    """Read what a filtered record says before its photometry and cutouts: the alert, and the filters that it passed."""
    parts = _parts()
    if not value.startswith(parts.header + _ONE):  # written by another version
        return decode_filtered(value)
    stream = io.BytesIO(value)
    stream.seek(len(parts.header) + len(_ONE))
    fastavro.schemaless_reader(stream, "long", None)  # size of the block
    before = fastavro.schemaless_reader(stream, parts.before, None)
    return {**before, **fastavro.schemaless_reader(stream, parts.filters, None)}  # type: ignore[dict-item]


def _photometry(survey: Survey, record: Mapping[str, Any], programmes: frozenset[int]) -> list[dict[str, Any]]:
    packed = bson.decode(record["series"].raw)
    found: list[tuple[Any, ...]] = []
    for name, series in survey.series.items():
        if name in packed:
            rows = series.loads(packed[name])
            rows = rows[(rows["jd"] <= record["jd"]) & survey.rights.visible(rows, programmes)]
            origin = [_ORIGINS[series.role]] * len(rows)
            fluxes = [_numbers(rows, column) for column in (series.flux, series.flux_error, "ra", "dec")]
            of = _programmes(survey, rows)
            found += zip(rows["jd"].tolist(), series.band_names(rows), origin, *fluxes, of, strict=True)
    found.sort(key=lambda point: point[:3])
    points = [dict(zip(_POINT, point, strict=True)) for point in found]
    for point in points:
        point["survey"] = survey.name
    return points


def _programmes(survey: Survey, rows: Points) -> list[int]:
    """Programme of each point; without one, that as which it counts."""
    field = survey.rights.field
    return [survey.rights.rarest] * len(rows) if field is None else rows[field].tolist()


def _numbers(rows: Any, name: str) -> list[float | None]:
    """A column as numbers, None where there is none."""
    if name not in (rows.dtype.names or ()):
        return [None] * len(rows)
    return [value if math.isfinite(value) else None for value in rows[name].tolist()]


class _Parts(NamedTuple):
    """Header of the container, and schemas of what comes before the filters, of them, and of what comes after."""

    header: bytes
    before: Any
    filters: Any
    after: Any


@cache
def _parts() -> _Parts:
    stream = io.BytesIO()
    fastavro.writer(stream, filtered_schema(), [], codec="null", sync_marker=_SYNC, metadata=_METADATA)
    fields = _source()["fields"]
    (at,) = (place for place, field in enumerate(fields) if field["name"] == "filters")
    schemas = (
        fastavro.parse_schema({"type": "record", "name": f"part{place}", "fields": part})
        for place, part in enumerate((fields[:at], fields[at : at + 1], fields[at + 1 :]))
    )
    return _Parts(stream.getvalue(), *schemas)


def _encode(schema: Any, values: Mapping[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, values)
    return stream.getvalue()
