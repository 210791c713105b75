"""Records of ``filtered.<name>`` and ``<survey>.filtered``: Avro containers that any Avro library reads alone."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import bson
import fastavro
import numpy as np

from boom_streams.surveys import Survey

__all__ = ["Passed", "decode_filtered", "encode_filtered", "filtered_schema"]

_SYNC = b"boom_streams/v1\n"
_CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")
_SERIES = {"prv_candidates": "alert", "prv_nondetections": "limit", "fp_hists": "forced"}


class Passed(NamedTuple):
    """A filter that the alert passed."""

    filter_id: str
    name: str
    fid: str
    """Version of the filter."""
    annotations: str
    """What the filter projected, JSON."""


@cache
def filtered_schema() -> Any:
    """Parsed Avro schema of filtered records, the same text in every process."""
    text = files("boom_streams.schema").joinpath("avro/filtered/1/filtered.avsc").read_text()
    parsed = fastavro.parse_schema(json.loads(text))
    return json.loads(json.dumps(parsed, sort_keys=True))  # fastavro's own order is that of a set of strings


def encode_filtered(
    survey: Survey,
    record: Mapping[str, Any],
    passed: Sequence[Passed],
    programids: frozenset[int],
    cutouts: Mapping[str, bytes] | None,
) -> bytes:
    """Encode a filtered record; the same bytes for the same input.

    Parameters
    ----------
    survey
        Adapter of the survey.
    record
        The classified record, as `boom_streams.wire.fields` gives it.
    passed
        Filters that the alert passed.
    programids
        Programmes whose points the reader may see.
    cutouts
        Stamps as received; None when the archive does not have them.
    """
    candidate = record["alert"]["candidate"]
    message = {
        "survey": record["survey"],
        "objectId": record["objectId"],
        "candid": record["candid"],
        "jd": record["jd"],
        "ra": record["ra"],
        "dec": record["dec"],
        "programid": record["programid"],
        "received": record["received"],
        "band": candidate.get("band"),
        "magnitude": candidate.get("magpsf"),
        "magnitude_error": candidate.get("sigmapsf"),
        "history": record["history"],
        "filters": [entry._asdict() for entry in passed],
        "classifications": [
            {"classifier": name, "score": score} for name, score in sorted(record["classifications"].items())
        ],
        "photometry": _photometry(survey, record, programids),
        **{name: (cutouts or {}).get(name) for name in _CUTOUTS},
        "cutouts_missing": None if cutouts else "the archive has no cutouts of this alert",
    }
    stream = io.BytesIO()
    fastavro.writer(stream, filtered_schema(), [message], codec="deflate", sync_marker=_SYNC)
    return stream.getvalue()


def decode_filtered(value: bytes) -> dict[str, Any]:
    """Read one filtered record."""
    (message,) = fastavro.reader(io.BytesIO(value))
    return message  # type: ignore[return-value]


def _photometry(survey: Survey, record: Mapping[str, Any], programids: frozenset[int]) -> list[dict[str, Any]]:
    packed = bson.decode(record["series"].raw)
    points = []
    for name, origin in _SERIES.items():
        if name not in packed:
            continue
        rows = np.frombuffer(packed[name], survey.SERIES[name])
        columns = rows.dtype.names or ()
        for row in rows:
            programid = int(row["programid"])
            if programid not in programids or row["jd"] > record["jd"]:
                continue
            points.append(
                {
                    "jd": float(row["jd"]),
                    "band": survey.BANDS[int(row["fid"])],
                    "origin": origin,
                    "flux": _number(row, columns, "psfFlux"),
                    "flux_error": _number(row, columns, "psfFluxErr"),
                    "ra": _number(row, columns, "ra"),
                    "dec": _number(row, columns, "dec"),
                    "programid": programid,
                    "survey": survey.name,
                }
            )
    return sorted(points, key=lambda point: (point["jd"], point["band"], point["origin"]))


def _number(row: Any, columns: Sequence[str], name: str) -> float | None:
    if name not in columns:
        return None
    value = float(row[name])
    return value if math.isfinite(value) else None
