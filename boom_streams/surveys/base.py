"""What every survey's adapter gives to the stages, whatever its packets look like."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from boom_streams.avro.schemas import Schema
from boom_streams.errors import BadRecord, SettingsError
from boom_streams.surveys.packed_points import Points
from boom_streams.surveys.rights import Rights

__all__ = ["LAST_JD", "Alert", "Position", "Survey", "get_survey"]

#: An observation's Julian date is from 0 to this; what lies outside is not a time.
LAST_JD = 1e7

#: Module of each survey's adapter; a further survey is one line here, one module and one schema folder.
_MODULES = {"ZTF": "boom_streams.surveys.ztf"}


class Position(NamedTuple):
    """What the raw writer must know of an alert: ids, time, and where it is."""

    object_id: str
    candid: int
    jd: float
    """Julian date, UTC, as the survey defines it."""
    ra: float
    """ICRS degrees, [0, 360)."""
    dec: float
    """ICRS degrees, [-90, 90]."""


@dataclass(slots=True)
class Alert:
    """One alert in the broker's own form, as the enrich stage makes it from a packet."""

    survey: str
    object_id: str
    candid: int
    jd: float
    ra: float
    dec: float
    programid: int
    document: dict[str, Any]
    """What ``<SURVEY>_alerts`` has of the packet: ids, ``candidate`` without nulls, ``coordinates``."""
    series: dict[str, Points]
    """Light curves by name, sorted by (jd, fid, candid); the alert's own detection is among them."""
    cutouts: dict[str, bytes]
    """Stamps as received; those that the packet lacks are missing."""
    properties: dict[str, Any]
    history_start: float
    """Julian date at which the packet says that the object began, or NaN."""


class Survey(Protocol):
    """An adapter. Its functions are pure and work on batches."""

    @property
    def name(self) -> str:
        """Upper-case name, as in collections: ``ZTF``."""
        ...

    @property
    def SERIES(self) -> Mapping[str, np.dtype[Any]]:
        """Columns of each packed light curve."""
        ...

    @property
    def BANDS(self) -> Mapping[int, str]:
        """Name of the band of each ``fid``."""
        ...

    @property
    def BOOLEANS(self) -> frozenset[str]:
        """Columns of light curves that are booleans stored as integers."""
        ...

    @property
    def rights(self) -> Rights:
        """Its programmes, and who may see them."""
        ...

    def key_fields(self, schema: Schema) -> tuple[str, str, str, str, str]:
        """Paths of objectId, candid, jd, ra, dec in packets of this schema, else `BadRecord`."""
        ...

    def position(self, values: Sequence[Any]) -> Position:
        """Check the values of `key_fields`; `BadRecord` names the one that is missing or impossible."""
        ...

    def decode(self, batch: Sequence[bytes]) -> list[Alert | BadRecord]:
        """Decode containers of one alert each; in place of a bad one its error. Never raises for one."""
        ...


def get_survey(name: str) -> Survey:
    """Adapter of a survey by its name, in any case.

    Raises
    ------
    SettingsError
        If there is none; the text lists those that exist.
    """
    module = _MODULES.get(name.upper())
    if module is None:
        raise SettingsError(f"unknown survey {name!r}; known are {', '.join(sorted(_MODULES))}")
    return cast(Survey, importlib.import_module(module).SURVEY)
