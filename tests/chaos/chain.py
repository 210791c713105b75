"""One run of the broker: its topics, its database, its workers, and the raw log that is fed to it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaException

from boom_streams import names
from boom_streams.archive import mongo
from boom_streams.errors import BoomError
from boom_streams.filters import FilterStore
from boom_streams.ingest.raw_records import received_header
from boom_streams.kafka.writer import Writer
from boom_streams.operate import status
from boom_streams.operate.prepare import initialise
from boom_streams.operate.supervise import Exit, Supervisor
from boom_streams.settings import Settings
from boom_streams.topologies.stage import Stage
from tests.chaos.log import Entry

__all__ = ["Chain", "Failed", "Feeder", "add_filters"]

_POLL = 0.02

#: Seconds without any progress after which a run has failed.
PATIENCE = 120.0


class Failed(Exception):
    """The run has shown that something is wrong; the text says what."""


class Feeder(threading.Thread):
    """Writes the raw log at a rate, as far as it is allowed to; survives a Kafka that is away."""

    def __init__(self, settings: Settings, entries: Sequence[Entry], rate: float | None) -> None:
        super().__init__(daemon=True)
        self._writer = Writer(settings, linger_ms=5)
        self._topic = names.topic("ztf", "raw", settings.topic_prefix)
        self.entries = entries
        self._rate = rate
        self._allowed = 0
        self._changed = threading.Condition()
        self._ended = False
        self.written = 0
        self.failure: BaseException | None = None

    def more(self, count: int) -> None:
        """Feed so many records more."""
        with self._changed:
            self._allowed += count
            self._changed.notify()

    def finish(self) -> None:
        """Feed the rest as fast as possible."""
        self._rate = None
        self.more(len(self.entries))

    def end(self) -> None:
        """Feed no more."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def run(self) -> None:
        """Feed until the end of the log."""
        try:
            while self.written < len(self.entries):
                with self._changed:
                    self._changed.wait_for(lambda: self._ended or self.written < self._allowed)
                    if self._ended:
                        return
                self._write(self.entries[self.written])
                self.written += 1
                if self._rate:
                    time.sleep(1 / self._rate)
            self._writer.finish()
        except BaseException as error:
            self.failure = error

    def _write(self, entry: Entry) -> None:
        headers = (*entry.headers, received_header(entry.timestamp))
        self._writer.send(self._topic, entry.value, entry.key, entry.partition, headers)
        self._writer.poll(0)

    @property
    def done(self) -> bool:
        """Whether everything has been written and confirmed."""
        if self.failure is not None:
            raise Failed(f"the raw log could not be written: {self.failure}")
        return not self.is_alive()


class Chain:
    """The workers of one run. All waiting goes through `tend`, which restarts what has exited."""

    def __init__(
        self,
        settings: Settings,
        workers: Mapping[str, int],
        *,
        command: Sequence[str] | None = None,
        on_exit: Callable[[Exit], None] = lambda exited: None,
    ) -> None:
        self.settings = settings
        options: dict[str, Any] = {} if command is None else {"command": command}
        self.supervisor = Supervisor(settings, workers, **options)
        self.workers = workers
        self.on_exit = on_exit

    def __enter__(self) -> Self:
        self.supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.supervisor.stop()

    def tend(self, until: Callable[[], Any], seconds: float, what: str, every: float = _POLL) -> Any:
        """Supervise until something is true, and return it; `Failed` if it takes too long."""
        deadline = time.monotonic() + seconds
        while True:
            for exited in self.supervisor.poll():
                self.on_exit(exited)
            try:
                if result := until():
                    return result
            except (BoomError, KafkaException):  # Kafka or MongoDB may be away
                pass
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not within {seconds:.0f} s")
            time.sleep(every)

    def rest(self, seconds: float) -> None:
        """Supervise for some time."""
        end = time.monotonic() + seconds
        self.tend(lambda: time.monotonic() >= end, seconds + 60, "resting")

    def drain(self, feeder: Feeder) -> None:
        """Wait until the whole log is written and every stage and sink has handled everything."""
        self._until_none(lambda: 0 if feeder.done else len(feeder.entries) - feeder.written + 1)
        self._until_none(lambda: status.total_lag(self.settings))

    def _until_none(self, left: Callable[[], int]) -> None:
        """Wait until nothing is left; `Failed` if nothing moves for `PATIENCE` seconds."""
        last = -1

        def moved() -> bool:
            nonlocal last
            before, last = last, left()
            return last != before

        while last:
            self.tend(moved, PATIENCE, "getting through what is in the topics", 0.25)

    def journal(self, worker: str, stage: Stage) -> list[str]:
        """Names of the records that a stage of a worker has in hand, or had when it died: …topic/partition/offset."""
        topic = names.topic("ztf", stage.source, self.settings.topic_prefix)
        held: list[str] = []
        for path in self.supervisor.data_folder(*place(worker)).glob("*.json"):
            with suppress(OSError, ValueError, KeyError):  # it is being written
                line, _, _ = path.read_bytes().partition(b"\n")
                held += [name for name in json.loads(line)["in_hand"] if f"{topic}/" in name]
        return held

    def pid(self, worker: str) -> int | None:
        """Process id of a worker, if it runs."""
        for known in self.supervisor._workers:
            if known.name == worker and known.process is not None and known.process.poll() is None:
                return known.process.pid
        return None

    def said(self, worker: str) -> str:
        """Output of a worker so far."""
        path = self.supervisor.log_file(*place(worker))
        return path.read_text(errors="replace") if path.exists() else ""

    def has_said(self, worker: str, text: str) -> bool:
        """Whether a text is in the output of a worker."""
        return text in self.said(worker)


def place(worker: str) -> tuple[str, int]:
    """Role and index of a worker."""
    role, _, index = worker.rpartition("-")
    return role, int(index)


_FILTERS: Mapping[str, tuple[list[int], list[dict[str, Any]]]] = {
    "bright": (
        [1, 2, 3],
        [
            {"$match": {"candidate.magpsf": {"$lt": 18.6}}},
            {"$project": {"objectId": 1, "annotations.magnitude": "$candidate.magpsf"}},
        ],
    ),
    "public": (
        [1],
        [
            {"$match": {"candidate.drb": {"$gt": 0.6}}},
            {"$project": {"objectId": 1, "annotations.drb": "$candidate.drb"}},
        ],
    ),
    "known": (
        [1, 2, 3],
        [
            {"$match": {"$expr": {"$gte": [{"$size": {"$ifNull": ["$prv_candidates", []]}}, 5]}}},
            {"$project": {"objectId": 1, "annotations.detections": {"$size": "$prv_candidates"}}},
        ],
    ),
}


def add_filters(settings: Settings, also: Path) -> list[dict[str, Any]]:
    """Put some filters into a broker's database, all active; return their documents."""
    store = FilterStore(mongo.database(settings))
    for name, (programids, pipeline) in _FILTERS.items():
        store.activate(store.add(name, "ZTF", pipeline, {"ZTF": programids}).filter_id)
    if also.is_file():
        added = store.add("user", "ZTF", json.loads(also.read_text()), {"ZTF": [1, 2, 3]})
        store.activate(added.filter_id)
    return store.list_all()


def prepare(settings: Settings, filters: Sequence[dict[str, Any]] | None, also: Path) -> list[dict[str, Any]]:
    """Make topics and collections, with the filters given (or made anew); return the filters."""
    initialise(settings)
    if filters is None:
        return add_filters(settings, also)
    mongo.database(settings)["filters"].insert_many(filters)
    mongo.database(settings)["filters"].create_index("name", unique=True)
    return list(filters)
