"""The recorded raw log: the same records, with the same keys, partitions and timestamps, for every run of a test.

What is promised about the order of an object's alerts is the order of one partition of ``ztf.raw``: alerts of one
object that lie in two partitions (it sits on a cell's edge), or that are re-keyed, are enriched in any order, and then
``revision`` and what an alert's statistics were at its first processing may differ between two runs without anything
being lost. So that everything can be compared byte for byte, the log has no such pairs: every object lies in one
partition, and what is to be re-keyed is the only alert of its object. That the order does not matter for tables and
light curves is proven by other tests, on `boom_streams.tables.objects.history`.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import night
from boom_streams.ingest.files import containers, find_sources
from boom_streams.ingest.raw_records import RawRecord, raw_batch
from boom_streams.surveys import get_survey
from tests.support import ztf_packets

__all__ = ["Entry", "RawLog", "record"]

#: Real nights, in the order of their time.
_REAL = ("ztf/20200202", "ztf/20231012", "ztf/20231018")
_SEVERAL = "ztf/20211121_snappy"

#: Alerts of so many objects, then the second alerts of the same objects.
_BLOCK = 100

_WRONG_KEYS = 40
_TWICE = 0.03
_JUNK = (b"", b"no alert", b"Obj\x01 but nothing behind it", bytes(range(256)) * 40)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of ``ztf.raw``, as every run gets it."""

    key: bytes | None
    value: bytes
    partition: int
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    """Milliseconds since 1970 UTC."""


@dataclass(slots=True)
class RawLog:
    """The records in their order, and what must come of them."""

    entries: list[Entry] = field(default_factory=list)
    copies: Counter[int] = field(default_factory=Counter)
    """Number of records of each alert, by candid."""
    junk: int = 0
    """Records that must become dead letters."""
    rekeyed: int = 0
    """Records that do not lie where their position says."""

    def __str__(self) -> str:
        again = sum(self.copies.values()) - len(self.copies)
        return (
            f"{len(self.entries)} records: {len(self.copies)} alerts, {again} of them a second time, "
            f"{self.rekeyed} records in the wrong place, {self.junk} that are no alerts"
        )


def record(folder: Path, shared: Path, alerts: int, partitions: int, chance: random.Random, say: Say) -> RawLog:
    """Make a log of at least so many alerts.

    Parameters
    ----------
    folder
        Cache of made nights.
    shared
        Folder of real alerts; where it is absent, all alerts are made up here, and ``say`` tells so.
    alerts
        Number of alerts.
    partitions
        Of ``ztf.raw``.
    chance
        Decides what comes twice, is misplaced or broken.
    say
        Told what is done.
    """
    several: list[bytes] = []
    if (shared / "bench" / "make_night.py").is_file():
        say(f"making a night of {alerts} alerts from real ones (once; kept in {folder}) …")
        made = night.make(folder, shared / "bench" / "make_night.py", alerts, lambda count: None)
        pairs = [(a.read_bytes(), b.read_bytes()) for a, b in zip(made.first, made.updates, strict=True)]
        pairs = pairs[: alerts // 2]
        real = list(_real(shared / "data" / "alerts", _REAL))[: alerts // 8]
        several = list(_real(shared / "data" / "alerts", (_SEVERAL,)))
    else:
        say(f"no real alerts here (no folder {shared.name} beside the checkout): all {alerts} are made up")
        pairs, real = list(_made_up(alerts // 2)), []
    chosen = _one_partition_an_object(_in_order(pairs, real), partitions)
    return _Recorder(partitions, chance, len(chosen)).record(chosen, several)


def _real(alerts: Path, folders: Sequence[str]) -> Iterator[bytes]:
    for folder in folders:
        found = containers(find_sources([alerts / folder]))
        yield from (container.data for container in found if not container.problem)


def _made_up(objects: int) -> Iterator[tuple[bytes, bytes]]:
    """Two alerts of each of some made-up objects; the second has the first in its history."""
    for number in range(objects):
        ra, dec = 140.0 + 0.021 * number % 60, 10.0 + 0.37 * number % 30
        start, candid = 2460000.5 + 0.001 * number, 10_000_000_000 + 10 * number
        history = [ztf_packets.limit(start - 8)]
        history += [ztf_packets.detection(start - 6 + day, candid + day, ra=ra, dec=dec) for day in (1, 3)]
        forced = [ztf_packets.forced(start - day, 100.0 + number % 7) for day in (5, 4, 2)]
        both = []
        for step in (0, 1):
            magnitude = 17.0 + number % 40 / 10 - 0.2 * step
            own = ztf_packets.candidate(
                jd=start + 2 * step, candid=candid + 5 + step, ra=ra, dec=dec, magpsf=magnitude, jdstarthist=start - 300
            )
            both.append(
                ztf_packets.container(
                    objectId=f"ZTF00{number:07d}",
                    candid=own["candid"],
                    candidate=own,
                    prv_candidates=list(history),
                    fp_hists=list(forced),
                )
            )
            history.append(own)
            forced.append(ztf_packets.forced(start + 1, 120.0))
        yield both[0], both[1]


def _in_order(pairs: Sequence[tuple[bytes, bytes]], real: Sequence[bytes]) -> list[bytes]:
    """Blocks of first alerts, each followed by a share of the real alerts and the same objects' second alerts."""
    ordered: list[bytes] = []
    blocks = range(0, len(pairs), _BLOCK)
    share = -(-len(real) // max(len(blocks), 1))
    for number, start in enumerate(blocks):
        block = pairs[start : start + _BLOCK]
        ordered += [first for first, _ in block]
        ordered += real[number * share : (number + 1) * share]
        ordered += [second for _, second in block]
    return ordered


def _one_partition_an_object(values: Sequence[bytes], partitions: int) -> list[list[RawRecord]]:
    """Alerts with their margin records, without those of an object that lie in another partition than its first."""
    batch = raw_batch(values, get_survey("ztf"), partitions)
    groups: dict[int, list[RawRecord]] = defaultdict(list)
    for made in batch.records:
        groups[made.source].append(made)
    home: dict[str, int] = {}
    return [
        group
        for group in groups.values()
        if home.setdefault(group[0].object_id, group[0].partition) == group[0].partition
        and sum(not each.headers for each in group) == 1
    ]


class _Recorder:
    def __init__(self, partitions: int, chance: random.Random, expected: int) -> None:
        self._partitions = partitions
        self._chance = chance
        self._log = RawLog()
        self._objects: set[str] = set()
        # Record timestamps lie in the past: no two runs could otherwise have the same.
        self._clock = int(time.time() * 1000) - 4 * expected - 60_000

    def record(self, alerts: Sequence[list[RawRecord]], several: Sequence[bytes]) -> RawLog:
        misplaced = self._choose_misplaced(alerts)
        self._objects = {group[0].object_id for group in alerts}
        junk = self._spread(len(alerts), [*_JUNK, alerts[0][0].value[:-40], None])
        whole = self._spread(len(alerts), several)
        recent: list[list[RawRecord]] = []
        for index, group in enumerate(alerts):
            for value in junk.get(index, ()):
                self._log.junk += 1
                self._write(None, value, self._chance.randrange(self._partitions))
            for value in whole.get(index, ()):
                self._several(value)
            if group[0].object_id in misplaced:
                if misplaced[group[0].object_id] == index:
                    self._misplaced(group[0])
                continue
            self._alert(group)
            recent.append(group)
            if self._chance.random() < _TWICE:
                self._alert(self._chance.choice(recent[-300:]))
        return self._log

    def _choose_misplaced(self, alerts: Sequence[list[RawRecord]]) -> dict[str, int]:
        """Objects of which only one alert, at this place, is written, and with a wrong key."""
        chosen = self._chance.sample(range(len(alerts)), min(_WRONG_KEYS, len(alerts) // 10))
        return {alerts[index][0].object_id: index for index in chosen}

    def _spread(self, places: int, values: Sequence[bytes | None]) -> dict[int, list[bytes | None]]:
        spread: dict[int, list[bytes | None]] = defaultdict(list)
        for value in values:
            spread[self._chance.randrange(places)].append(value)
        return spread

    def _alert(self, group: Sequence[RawRecord]) -> None:
        self._log.copies[group[0].candid] += 1
        for made in group:
            self._write(made.key, made.value, made.partition, made.headers)

    def _misplaced(self, made: RawRecord) -> None:
        self._log.copies[made.candid] += 1
        self._log.rekeyed += 1
        key, partition = self._chance.choice(
            [
                (None, self._chance.randrange(self._partitions)),
                (b"somebody", self._chance.randrange(self._partitions)),
                (made.key, (made.partition + 1) % self._partitions),
                (b"7", self._chance.randrange(self._partitions)),
            ]
        )
        self._write(key, made.value, partition)

    def _several(self, value: bytes | None) -> None:
        """One record with the alerts of several objects, unless the log has one of these objects already."""
        assert value is not None
        made = raw_batch([value], get_survey("ztf"), self._partitions)
        candids = [each.candid for each in made.records if not each.headers]
        objects = [each.object_id for each in made.records if not each.headers]
        if len(set(objects)) < len(objects) or self._objects & set(objects):
            return
        self._log.copies.update(candids)
        self._log.rekeyed += 1
        self._write(None, value, self._chance.randrange(self._partitions))

    def _write(
        self, key: bytes | None, value: bytes | None, partition: int, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        self._clock += self._chance.randrange(1, 4)
        self._log.entries.append(Entry(key, value, partition, headers, self._clock))  # type: ignore[arg-type]
