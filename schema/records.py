"""Records between stages, field by field. Stages do not validate each record; tests and a sampling switch do.

The models describe the decoded BSON; documentation and JSON Schemas are made from them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import bson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["MODELS", "Classified", "DeadLetter", "Enriched", "Margin", "check", "problem"]

Packed = Annotated[bytes, Field(description="Packed columns: the dtype that the survey's adapter declares.")]
Jd = Annotated[float, Field(description="Julian date, UTC.")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Margin(_Record):
    """A record of ``<survey>.raw`` with the header ``role: margin``: a position near a partition's edge."""

    v: int = Field(1, description="Version of this record's format; release 0.1.0 did not say it.", ge=1, le=1)
    survey: str = Field(description="Survey, upper case.")
    objectId: str = Field(description="The survey's name of the object.")
    candid: int = Field(description="The survey's number of the alert.")
    jd: float = Field(description="Time of the observation, Julian date (UTC), as the survey defines it.")
    ra: float = Field(description="Right ascension, ICRS, degrees.", ge=0, lt=360)
    dec: float = Field(description="Declination, ICRS, degrees.", ge=-90, le=90)


class _Envelope(Margin):
    v: int = Field(description="Version of this record's format.", ge=2, le=2)
    columns: str = Field(description="Fingerprint of the packed columns: see [formats](#formats).")
    programid: int = Field(description="Programme of the observation; ZTF: 1 public, 2 partnership, 3 private.")
    received: float = Field(description="Timestamp of the raw record, Julian date (UTC).")
    alert: dict[str, Any] = Field(description="The alert as stored in `<SURVEY>_alerts`.")
    properties: dict[str, Any] = Field(description="Flags and statistics.")
    cross_matches: dict[str, list[dict[str, Any]]] = Field(
        description="Catalogue sources, by catalogue; an empty list: none is near."
    )
    catalogs: dict[str, str] = Field(description="Version of each catalogue that was asked.")
    unmatched: dict[str, str] = Field(description="Why a configured catalogue was not asked, by catalogue.")
    aliases: dict[str, list[str]] = Field(description="The same object in other surveys.")


class Enriched(_Envelope):
    """A record of ``<survey>.enriched``: the alert with true fluxes, coordinates and flags. Key: objectId."""

    history_start: float = Field(description="Julian date at which the object began, as the packet says; NaN: unknown.")
    series: dict[str, Packed] = Field(description="Light curves of the packet, the alert's own detection included.")
    cutouts: dict[str, bytes] = Field(description="Stamps as received (ZTF: gzipped FITS); absent ones are missing.")


class Classified(_Envelope):
    """A record of ``<survey>.classified``: the alert with its object's history and statistics. Key: objectId."""

    classifications: dict[str, float] = Field(description="Scores of models, 0 to 1.")
    models: dict[str, str] = Field(description="Version of each model that gave a score.")
    unscored: dict[str, str] = Field(description="Why a model gave none, by model.")
    history: Literal["complete", "partial"] = Field(
        description="`partial`: older history is in the archive and could not be read."
    )
    revision: int = Field(description="How many alerts of the object were processed, this one included.", ge=1)
    newest: bool = Field(description="No later alert of the object had been processed.")
    position: list[float] = Field(description="Mean of the known detections, ICRS degrees.", min_length=2, max_length=2)
    changed: dict[str, Packed] = Field(description="Points that this alert added or changed.")
    replaced: bool = Field(description="Some changed point replaces a version known before.")
    appended: bool = Field(description="All changed points are later than all that was known.")
    series: dict[str, Packed] = Field(description="Light curve of 365 days up to the alert, as known at this revision.")


class DeadLetter(_Record):
    """Headers of a record of ``<survey>.dead``; key and value are those of the record that could not be processed."""

    version: int = Field(1, alias="dead.version", description="Version of this format; release 0.1.0 did not say it.")
    stage: str = Field(alias="dead.stage", description="Stage that gave up.")
    reason: str = Field(alias="dead.reason", description="What was wrong.")
    topic: str = Field(alias="dead.topic", description="Where the record stood.")
    partition: int = Field(alias="dead.partition", description="Its partition.")
    offset: int = Field(alias="dead.offset", description="Its offset; with topic and partition, its identity.")
    timestamp: int = Field(alias="dead.timestamp", description="Its timestamp, milliseconds since 1970 UTC.")
    traceback: str | None = Field(None, alias="dead.traceback", description="Of an error that was not expected.")


MODELS: dict[str, type[BaseModel]] = {"enriched": Enriched, "classified": Classified}


def check(stage: str, value: bytes) -> None:
    """Validate a record of a stage.

    Raises
    ------
    pydantic.ValidationError
        If it is not as described.
    """
    MODELS[stage].model_validate(bson.decode(value))


def problem(stage: str, value: bytes) -> str | None:
    """What is wrong with a record of a stage, with at most three fields named; None: nothing."""
    try:
        check(stage, value)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)
        named = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong[:3])
        identity = "/".join(str(bson.decode(value).get(name)) for name in ("survey", "objectId", "candid"))
        return f"{identity}: {named}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
