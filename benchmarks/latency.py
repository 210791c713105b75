"""How long an alert takes, from the timestamps of its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.chain import Marks
from boom_streams import names
from boom_streams.astro import times
from boom_streams.kafka.reading import scan
from boom_streams.schema import bson_records
from boom_streams.schema.filtered import decode_filtered

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["PERCENTILES", "Latency", "collect"]

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the raw record's timestamp.

    Attributes
    ----------
    rate
        Alerts a second that came in.
    classified, filtered
        To the alert's record in each topic: `PERCENTILES`.
    alerts, passed
        Number of each.
    """

    rate: float
    classified: list[float]
    filtered: list[float]
    alerts: int
    passed: int


def collect(settings: Settings, since: Marks, rate: float) -> Latency:
    """Compare the timestamps of the records that came after ``since``.

    A producer sets a record's timestamp when it is given the record.
    """
    starts = {where: high for where, (_, high) in since.items()}
    received: dict[int, float] = {}
    classified: list[float] = []
    for message in scan(settings, [names.topic("ZTF", "classified", settings.topic_prefix)], starts):
        fields = bson_records.fields(message.value() or b"")
        raw = times.unix_ms(fields["received"])
        received[fields["candid"]] = raw
        classified.append(message.timestamp()[1] - raw)
    filtered: dict[int, float] = {}
    for message in scan(settings, [names.topic("ZTF", "filtered", settings.topic_prefix)], starts):
        candid = decode_filtered(message.value() or b"")["candid"]
        filtered[candid] = message.timestamp()[1] - received[candid]
    waits = list(filtered.values())
    return Latency(rate, _percentiles(classified), _percentiles(waits), len(classified), len(waits))


def _percentiles(milliseconds: Sequence[float]) -> list[float]:
    return [float(x) for x in np.percentile(milliseconds, PERCENTILES)] if milliseconds else []
