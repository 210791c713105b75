"""Names of topics, tables, consumer groups and collections: formatted here and nowhere else."""

from __future__ import annotations

import re

from boom_streams.topologies.survey import COLLECTIONS

__all__ = [
    "CATALOGS",
    "CATALOG_TILES",
    "FORMATS",
    "PROBES",
    "alike",
    "changelog_topic",
    "collection",
    "filter_topic",
    "group_id",
    "is_reserved",
    "topic",
]

#: Collections that say which catalogues there are, and that hold their packed tiles.
CATALOGS, CATALOG_TILES = "catalogs", "catalog_tiles"

#: Collection that says in which formats the others are.
FORMATS = "formats"

#: Collection that probes of MongoDB write to: one small document a machine.
PROBES = "probes"

_RESERVED = re.compile(
    rf"{CATALOGS}|{CATALOG_TILES}|{FORMATS}|{PROBES}|filters|filters_.*|scratch_.*|.+_({'|'.join(COLLECTIONS)})",
    re.IGNORECASE,
)


def topic(survey: str, stage: str, prefix: str = "") -> str:
    """Topic of a survey: ``topic("ZTF", "raw")`` is ``ztf.raw``."""
    return f"{prefix}{survey.lower()}.{stage}"


def filter_topic(name: str, prefix: str = "") -> str:
    """Topic with the alerts that passed one filter: ``filtered.<name>``."""
    return f"{prefix}filtered.{name}"


def alike(name: str) -> str:
    """Regular expression of the names that Kafka does not tell apart in a topic's: there ``.`` and ``_`` are one."""
    return "^" + re.sub(r"\\\.|_", "[._]", re.escape(name)) + "$"


def changelog_topic(table: str, prefix: str = "") -> str:
    """Changelog of a table; the same name in every layout of workers."""
    return f"{prefix}boom.{table}.changelog"


def group_id(role: str, prefix: str = "") -> str:
    """Consumer group (Faust app id) of a role; ``all`` is the one-process layout."""
    return f"{prefix}boom" if role == "all" else f"{prefix}boom-{role}"


def collection(survey: str, kind: str) -> str:
    """Collection of a survey: kind is one of `boom_streams.topologies.survey.COLLECTIONS`."""
    return f"{survey.upper()}_{kind}"


def is_reserved(name: str) -> bool:
    """Tell whether a collection of this name is, or may become, the broker's own; upper and lower case are alike."""
    return _RESERVED.fullmatch(name) is not None
