"""What every survey says of itself: the contract between a survey's folder and the rest of the broker.

* Outside the surveys' folders an alert has an objectId, a candid, a time, a position, and points that are detections,
  limits or forced photometry, each with time, band, flux, error and rights
* What only a survey knows (names and sentinels of its packets' fields, codes of bands, stamps and which way they lie)
  is said by its `Survey`, and asked of it by whoever needs it
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from boom_streams.avro.schemas import Schema
from boom_streams.errors import BadRecord
from boom_streams.surveys.model import Model
from boom_streams.surveys.packed_points import Points
from boom_streams.surveys.rights import Rights
from boom_streams.surveys.series import Role, Series

__all__ = ["LAST_JD", "Alert", "Measured", "Position", "Stamps", "Survey"]

#: An observation's Julian date is from 0 to this; what lies outside is not a time.
LAST_JD = 1e7


class Position(NamedTuple):
    """What the raw writer must know of an alert: ids, time, and where it is.

    Attributes
    ----------
    candid
        64-bit number of the alert; a survey whose packets have none derives it from what they have, always the same.
    jd
        Julian date, UTC, as the survey defines it.
    ra
        ICRS degrees, [0, 360).
    dec
        ICRS degrees, [-90, 90].
    """

    object_id: str
    candid: int
    jd: float
    ra: float
    dec: float


@dataclass(slots=True)
class Alert:
    """One alert in the broker's own form, as the enrich stage makes it from a packet.

    Attributes
    ----------
    programid
        Programme that took the exposure, as the packet says; of a survey without programmes, the one that it has.
    document
        What ``<SURVEY>_alerts`` has of the packet: ids, ``candidate`` without nulls, ``coordinates``.

        Whatever the survey, ``candidate`` has ``jd``, ``ra``, ``dec`` and ``band``.
    series
        Light curves by name, each in the order of its `Series`; the alert's own detection is among them.
    cutouts
        Stamps as received; those that the packet lacks are missing.
    history_start
        Julian date at which the packet says that the object began, or NaN.
    """

    survey: str
    object_id: str
    candid: int
    jd: float
    ra: float
    dec: float
    programid: int
    document: dict[str, Any]
    series: dict[str, Points]
    cutouts: dict[str, bytes]
    properties: dict[str, Any]
    history_start: float


class Measured(NamedTuple):
    """How bright an alert is, for people.

    Attributes
    ----------
    magnitude
        AB, of the difference flux's absolute value.
    """

    band: str | None
    magnitude: float | None
    magnitude_error: float | None


@dataclass(frozen=True)
class Stamps:
    """The images of an alert: how they are called, and which way they lie.

    Parameters
    ----------
    science, template, difference
        Names in packets, in ``<SURVEY>_alerts_cutouts`` and in records.
    format
        What the bytes are.
    first_row
        Side of the sky at which the first row of pixels lies; empty: it differs, or is not known.
    first_column
        Side of the sky at which the first column lies; empty: it differs, or is not known.
    arcsec
        Width of a pixel, arcsec; 0: it differs, or is not known.
    turned
        Whether the difference of a negative detection is template minus science.
    """

    science: str
    template: str
    difference: str
    format: str = "gzipped FITS"
    first_row: Literal["north", "south", ""] = ""
    first_column: Literal["east", "west", ""] = ""
    arcsec: float = 0.0
    turned: bool = False

    @property
    def names(self) -> tuple[str, str, str]:
        """Names in the order in which models and people look at them."""
        return self.science, self.template, self.difference


class Survey(ABC):
    """A survey. Its functions are pure and work on batches.

    Attributes
    ----------
    name
        Upper-case name, as in collections: ``ZTF``.
    about
        What it is, in a line.
    time
        What ``jd`` is the time of.
    series
        Light curves by name: one of detections, at most one of limits, at most one of forced photometry.
    earlier
        Columns of each series as earlier releases packed them, by the last release that did so: see
        `boom_streams.schema.formats`.
    rights
        Its programmes, and who may see them.
    stamps
        The images of an alert.
    magnitude
        Fields of the candidate with the AB magnitude and its error; without them a survey computes what `measured`
        gives.
    models
        Models that look at its alerts.
    document
        Top-level fields that the alerts' documents have beside ``_id``, ``objectId``, ``candidate`` and
        ``coordinates``.
    properties
        Names of what its alerts' ``properties`` have, statistics left out; none: they are not known.
    documentation
        What the fields of candidates and of points are, by name.
    """

    name: ClassVar[str]
    about: ClassVar[str] = ""
    time: ClassVar[str]
    series: ClassVar[Mapping[str, Series]]
    earlier: ClassVar[Mapping[str, Mapping[str, np.dtype[Any]]]] = {}
    rights: ClassVar[Rights]
    stamps: ClassVar[Stamps]
    magnitude: ClassVar[tuple[str, str]] = ("", "")
    models: ClassVar[tuple[Model, ...]] = ()
    document: ClassVar[tuple[str, ...]] = ()
    properties: ClassVar[tuple[str, ...]] = ()
    documentation: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def key_fields(self, schema: Schema) -> Sequence[str]:
        """Paths of the fields that `position` asks for in packets of this schema; `BadRecord` if it is another's."""

    @abstractmethod
    def position(self, values: Sequence[Any]) -> Position:
        """Check the values of `key_fields`; `BadRecord` names the one that is missing or impossible."""

    @abstractmethod
    def decode(self, batch: Sequence[bytes]) -> list[Alert | BadRecord]:
        """Decode containers of one alert each; in place of a bad one its error. Never raises for one."""

    def samples(self, count: int, seed: int) -> list[bytes]:
        """Made-up packets, one alert each, at most `count`, for `boom_streams.testing`; alike for one `seed`."""
        return []

    def links(self, object_id: str) -> list[tuple[str, str]]:
        """Public pages about an object: what each is called, and its address."""
        return []

    def measured(self, candidate: Mapping[str, Any]) -> Measured:
        """How bright an alert is, from its candidate."""
        magnitude, error = self.magnitude
        return Measured(candidate.get("band"), candidate.get(magnitude), candidate.get(error))

    def of_role(self, role: Role) -> Series | None:
        """The series of a role, if the survey has one."""
        return next((series for series in self.series.values() if series.role == role), None)

    @cached_property
    def forced(self) -> Series | None:
        """The series of forced photometry, if there is one."""
        return self.of_role("forced")

    @cached_property
    def detections(self) -> Series:
        """The series of detections."""
        found = self.of_role("detection")
        assert found is not None, f"{self.name} has no series of detections"
        return found
