"""Archived alerts into the raw topic of their survey, as fast as Kafka takes them or at a given rate."""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from boom_streams import names
from boom_streams.errors import BadRecord
from boom_streams.ingest.files import Container, ReadAhead, containers, find_sources
from boom_streams.ingest.raw_records import RawBatch, RawRecord, raw_batch
from boom_streams.kafka.limits import MAX_BYTES
from boom_streams.kafka.topics import check_topics
from boom_streams.kafka.writer import Writer
from boom_streams.schema.dead_letters import FILE, make_letter
from boom_streams.surveys import get_survey

if TYPE_CHECKING:
    from boom_streams.settings import Settings
    from boom_streams.surveys.base import Survey

__all__ = ["Counts", "replay"]


@dataclass(slots=True)
class Counts:
    """What a replay has done so far.

    Attributes
    ----------
    containers, alerts, margins, dead
        Avro containers read; alerts, margin records and dead letters written.
    bytes
        Bytes of the alerts.
    consumed, total
        Bytes of the files read so far, and of all files.
    seconds
        Time since the start.
    problems
        Archives that could not be read to their end, a sentence each.
    """

    containers: int = 0
    alerts: int = 0
    margins: int = 0
    dead: int = 0
    bytes: int = 0
    consumed: int = 0
    total: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Alerts a second."""
        return self.alerts / self.seconds if self.seconds else 0.0


def replay(
    settings: Settings,
    survey: str,
    paths: Sequence[str | Path],
    *,
    rate: float | None = None,
    limit: int | None = None,
    progress: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """Write archived alerts to ``<survey>.raw``; what is no alert goes to ``<survey>.dead``.

    Files are read ahead in a thread; Kafka's confirmations are awaited together, at the end.

    Parameters
    ----------
    settings
        Where Kafka is.
    survey
        Survey that the files are from.
    paths
        Folders (searched recursively), ``.avro`` and ``.avro.gz`` files, ``.tar`` and ``.tar.gz`` archives.
    rate
        Alerts a second; None: as fast as possible.
    limit
        Most alerts to write; None: all.
    progress
        Called after each container.

    Returns
    -------
    Counts
        What was written, all of it confirmed by Kafka.

    Raises
    ------
    BoomError
        If a path is wrong, or Kafka does not confirm what was written.
    """
    sources = find_sources(paths)
    check_topics(settings)
    counts = Counts(total=sum(source.size for source in sources))
    writer = _RawWriter(settings, get_survey(survey), counts, rate, limit)
    with ReadAhead(containers(sources)) as ahead:
        for group in ahead:
            writer.write(group)
            counts.consumed = group[-1].consumed
            counts.seconds = writer.elapsed()
            progress(counts)
            if writer.full():
                break
    writer.finish()
    counts.seconds = writer.elapsed()
    progress(counts)
    return counts


class _RawWriter:
    """Writes containers to the raw topic of a survey, and what is wrong with them to its dead letters."""

    def __init__(
        self, settings: Settings, survey: Survey, counts: Counts, rate: float | None, limit: int | None
    ) -> None:
        self._partitions = settings.partitions
        self._survey = survey
        self._counts = counts
        self._rate = rate
        self._limit = limit
        self._raw = names.topic(survey.name, "raw", settings.topic_prefix)
        self._dead = names.topic(survey.name, "dead", settings.topic_prefix)
        self._writer = Writer(settings)
        self._start = time.monotonic()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def full(self) -> bool:
        """Whether the limit has been reached."""
        return self._limit is not None and self._counts.alerts >= self._limit

    def write(self, group: Sequence[Container]) -> None:
        """Write a group of containers, in their order."""
        whole = [container for container in group if not container.problem]
        batch = raw_batch([container.data for container in whole], self._survey, self._partitions)
        for record in batch.records:
            margin = bool(record.headers)
            if not margin and self.full():
                return
            self._send(record, margin, whole[record.source].name)
        self._bury(whole, batch)
        for container in group:
            self._note(container)
        self._writer.poll(0)

    def finish(self) -> None:
        """Wait until Kafka has confirmed everything."""
        self._writer.finish()

    def _send(self, record: RawRecord, margin: bool, name: str) -> None:
        if margin:
            self._counts.margins += 1
        else:
            self._pace()
        try:
            self._writer.send(self._raw, record.value, record.key, record.partition, record.headers)
        except BadRecord as error:
            self._letter(record.value, str(error), name, 0)
            return
        if not margin:
            self._counts.alerts += 1
            self._counts.bytes += len(record.value)

    def _pace(self) -> None:
        """Wait until the next alert is due."""
        if self._rate is not None:
            due = self._start + self._counts.alerts / self._rate
            while (wait := due - time.monotonic()) > 0:
                self._writer.poll(min(wait, 0.2))

    def _bury(self, whole: Sequence[Container], batch: RawBatch) -> None:
        """Make dead letters of what is no alert."""
        before: Counter[str] = Counter()
        for (value, reason), source in zip(batch.bad, batch.bad_sources, strict=True):
            name = whole[source].name
            self._letter(value, reason, name, before[name])
            before[name] += 1

    def _note(self, container: Container) -> None:
        self._counts.containers += 1
        if not container.problem:
            return
        if container.data:  # cut off
            self._letter(container.data, container.problem, container.name, 0)
        self._counts.problems.append(f"{container.name}: {container.problem}")

    def _letter(self, value: bytes, reason: str, name: str, number: int) -> None:
        record = (FILE + name, 0, number)
        letter = make_letter("replay", reason, record, time.time_ns() // 1_000_000, value, limit=MAX_BYTES)
        partition = zlib.crc32(name.encode(errors="backslashreplace")) % self._partitions
        self._writer.send(self._dead, letter.value, letter.key, partition, letter.headers)
        self._counts.dead += 1
