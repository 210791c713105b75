"""The one function that writes ``<survey>.raw``: key, partition and margin records of alerts.

* Key: HEALPix cell (nested, nside 256) of the alert's position, in decimal; partition: Kafka's choice for it
* Margin records: the position only, for partitions that hold a cell within 5 arcsec; header ``role: margin``
* Header ``received``, in records that are written again: when the first of them came, milliseconds since 1970; Kafka's
  own timestamp is the time of appending, which its retention goes by
* Containers with several alerts become one record each; what cannot be placed comes back with its reason
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import bson

from boom_streams.astro import sky
from boom_streams.avro import containers as avro
from boom_streams.avro.headers import read_header
from boom_streams.errors import BadRecord
from boom_streams.kafka.partitions import raw_partition
from boom_streams.schema import bson_records, formats
from boom_streams.surveys.base import Position, Survey

__all__ = [
    "MARGIN_ARCSEC",
    "NSIDE",
    "RawBatch",
    "RawRecord",
    "cell_key",
    "is_margin",
    "is_placed",
    "raw_batch",
    "raw_records",
    "received",
    "received_header",
]

#: Resolution of the cells that are keys of the raw topic, about 14 arcmin.
NSIDE = 256
#: The scatter of an object's detections, up to 3, and the largest association radius, 2.
MARGIN_ARCSEC = 5.0
_RECEIVED = "received"
_NUMBER = re.compile(rb"[0-9]{1,15}")
_CELLS = 12 * NSIDE * NSIDE
_MARGIN = (("role", b"margin"),)


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record for ``<survey>.raw``.

    Attributes
    ----------
    source
        Index of the container that it came from.
    """

    key: bytes
    value: bytes
    partition: int
    headers: tuple[tuple[str, bytes], ...]
    object_id: str
    candid: int
    source: int = 0
    stage: str = "raw"


@dataclass(slots=True)
class RawBatch:
    """Records to write, and containers (or what is wrong in them) to dead-letter.

    Attributes
    ----------
    bad
        Original bytes and the reason; a damaged file whose first alerts are good is in both lists.
    bad_sources
        For each of `bad` the index of its container.
    """

    records: list[RawRecord] = field(default_factory=list)
    bad: list[tuple[bytes, str]] = field(default_factory=list)
    bad_sources: list[int] = field(default_factory=list)


def raw_records(container: bytes, survey: Survey, partitions: int) -> RawBatch:
    """Make the records for one container; see `raw_batch`, which is much faster for many."""
    return raw_batch([container], survey, partitions)


def raw_batch(containers: Iterable[bytes], survey: Survey, partitions: int) -> RawBatch:
    """Make the records for containers of one or more alerts each, in order; say what cannot be placed.

    Parameters
    ----------
    containers
        As the survey publishes them.
    survey
        Adapter of the survey.
    partitions
        Number of partitions of the raw topic.
    """
    batch = RawBatch()
    values: list[tuple[int, bytes]] = []
    positions: list[Position] = []
    for source, container in enumerate(containers):
        try:
            parts, damage = avro.split(container)
        except BadRecord as error:
            parts, damage = [], error
        for part in parts:
            try:
                positions.append(_position(part, survey))
                values.append((source, part))
            except BadRecord as error:
                batch.bad.append((part, str(error)))
                batch.bad_sources.append(source)
        if damage is not None:
            batch.bad.append((container, _reason(len(parts), damage)))
            batch.bad_sources.append(source)
    if positions:
        _place(batch, values, positions, survey.name, partitions)
    return batch


def received(headers: Mapping[str, bytes | None], appended: int) -> int:
    """When a raw record first came, milliseconds since 1970.

    Parameters
    ----------
    headers
        The record's.
    appended
        Its timestamp, which no time of arrival can be after.
    """
    said = headers.get(_RECEIVED) or b""
    return int(said) if _NUMBER.fullmatch(said) and int(said) <= appended else appended


def received_header(milliseconds: int) -> tuple[str, bytes]:
    """Header that keeps the time of arrival of a record that is written again."""
    return _RECEIVED, b"%d" % milliseconds


def cell_key(cell: int) -> bytes:
    """Key of a cell: ``b"123456"``."""
    return b"%d" % cell


def is_placed(key: bytes | None, partition: int, partitions: int, cell: int | None = None) -> bool:
    """Whether a raw record's key is a cell (`cell`, if given), and it lies in that key's partition."""
    if key is None or not key.isdigit() or len(key) > 6 or int(key) >= _CELLS:
        return False
    if cell is not None and key != cell_key(cell):
        return False
    return key == cell_key(int(key)) and raw_partition(key, partitions) == partition


def is_margin(key: bytes | None, partition: int, partitions: int, at: Position) -> bool:
    """Whether a margin record's key is a cell that a place is near, and it lies in that key's partition."""
    return (
        key is not None
        and is_placed(key, partition, partitions)
        and int(key) in sky.neighbour_cells([at.ra], [at.dec], NSIDE, MARGIN_ARCSEC)[0]
    )


def _position(container: bytes, survey: Survey) -> Position:
    schema = read_header(container).schema
    read = avro.prefix_reader(schema, tuple(survey.key_fields(schema)))
    return survey.position(read(container))


def _place(
    batch: RawBatch,
    values: list[tuple[int, bytes]],
    positions: list[Position],
    survey: str,
    partitions: int,
) -> None:
    ra = [position.ra for position in positions]
    dec = [position.dec for position in positions]
    own = sky.cells(ra, dec, NSIDE).tolist()
    around = sky.neighbour_cells(ra, dec, NSIDE, MARGIN_ARCSEC)
    for (source, value), at, cell, others in zip(values, positions, own, around, strict=True):
        key = cell_key(cell)
        partition = raw_partition(key, partitions)
        batch.records.append(RawRecord(key, value, partition, (), at.object_id, at.candid, source))
        reached = {partition}
        for other in others:
            key = cell_key(other)
            partition = raw_partition(key, partitions)
            if partition not in reached:
                reached.add(partition)
                value = _margin_value(survey, at)
                batch.records.append(RawRecord(key, value, partition, _MARGIN, at.object_id, at.candid, source))


def _margin_value(survey: str, at: Position) -> bytes:
    return bson.encode({"v": formats.MARGIN.version, **bson_records.position(survey, at)})


def _reason(good: int, damage: BadRecord) -> str:
    return f"{damage} (its first {good} alerts are good and were kept)" if good else str(damage)
