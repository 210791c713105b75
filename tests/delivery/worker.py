"""A worker whose stage does what its records say; run as a process of its own by the tests of this folder.

A record is JSON: ``id``, ``key`` and ``do``, one of `_DO` below; by default it is passed on. Every record adds its
id to its key's list in the table, and writes the list again when it is there already, as all stages do.

A record with ``"hold": "changelog" | "output" | "ack"`` stops its batch at that point of its delivery, until the test
opens the gate; ``"do": "wait"`` stops it within ``process``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pymongo.errors import AutoReconnect

from boom_streams.agents.delivery.batch import Process, Record, Result, Work
from boom_streams.agents.delivery.guards import watch_commits
from boom_streams.agents.delivery.output import Output, Send
from boom_streams.archive import mongo
from boom_streams.errors import BadRecord
from boom_streams.main import BoomApp, build_app
from boom_streams.settings import Settings, current_settings
from boom_streams.topologies.stage import Stage

STAGE = "driven"
TABLE = "cells"
POINTS = ("changelog", "output", "ack")


class Gates:
    """Points where a worker waits for the test; files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def reach(self, name: str) -> bool:
        """Say that the worker is there; return whether it may go on."""
        (self.folder / f"{name}.reached").touch()
        return (self.folder / f"{name}.open").exists()

    def wait(self, name: str) -> None:
        """Wait in this thread until the gate is open."""
        while not self.reach(name):
            time.sleep(0.02)


class HoldingOutput(Output):
    """The real output, which stops at gates."""

    def __init__(self, settings: Settings, gates: Gates) -> None:
        super().__init__(settings)
        self.gates = gates
        self.points: set[str] = set()

    async def send(self, sends: Iterable[Send]) -> Mapping[tuple[str, int], int]:
        """Send, with a gate before changelogs, one before outputs and one after them."""
        records = list(sends)
        changelog = any(record.topic.endswith(".changelog") for record in records)
        await self._pass("changelog" if changelog else "output")
        offsets = await super().send(records)
        if records and not changelog:
            await self._pass("ack")
        return offsets

    async def _pass(self, name: str) -> None:
        while name in self.points and not self.gates.reach(name):
            await asyncio.sleep(0.02)


def _raise(task: dict[str, Any], work: Work, gates: Gates) -> None:
    raise RuntimeError(task.get("text", "made to fail"))


def _bad(task: dict[str, Any], work: Work, gates: Gates) -> None:
    raise BadRecord("made to be bad")


def _kill(task: dict[str, Any], work: Work, gates: Gates) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wait(task: dict[str, Any], work: Work, gates: Gates) -> None:
    gates.wait(task.get("gate", "process"))


def _ask(task: dict[str, Any], work: Work, gates: Gates) -> None:
    """Ask MongoDB for something: it may be away."""
    gates.reach("mongodb")
    mongo.database(current_settings()).command("ping")


def _refused(task: dict[str, Any], work: Work, gates: Gates) -> None:
    """MongoDB, which is well, refuses something; or closes the connection, as far as the client knows."""
    if task.get("as") == "away":
        raise AutoReconnect("connection closed")
    nested: dict[str, Any] = {}
    for _ in range(190):
        nested = {"deeper": nested}
    mongo.database(current_settings())["nested"].insert_one(nested)


def _store(task: dict[str, Any], work: Work, gates: Gates) -> None:
    """RocksDB fails once, as on a bad disk."""
    if not gates.reach("store"):
        table, partition = work.tables[TABLE], work.records[0].partition
        table._store_of_bytes().database(partition).close()


def _full(task: dict[str, Any], work: Work, gates: Gates) -> None:
    """The disk is full when the journal is written next."""
    if not gates.reach("full"):
        (journal,) = [file for file in Path("/proc/self/fd").iterdir() if file.resolve().name == "journal.json"]
        os.dup2(os.open("/dev/full", os.O_RDWR), int(journal.name))


def _exit(task: dict[str, Any], work: Work, gates: Gates) -> None:
    raise SystemExit


_DO: dict[str, Callable[[dict[str, Any], Work, Gates], None]] = {
    "raise": _raise,
    "bad": _bad,
    "kill": _kill,
    "wait": _wait,
    "ask": _ask,
    "refused": _refused,
    "store": _store,
    "full": _full,
    "exit": _exit,
}


def make_driven(settings: Settings, gates: Gates, outputs: list[HoldingOutput]) -> Process:
    """Make the stage."""
    pause = float(os.environ.get("PAUSE_PER_BATCH", 0))

    def process(work: Work) -> list[Result]:
        time.sleep(pause)
        outputs[0].points = _points(work)
        results = [_handle(settings, work, gates, record) for record in work.records]
        few = any(b'"few"' in record.value for record in work.records)
        return results[:-1] if few else results

    return process


def _points(work: Work) -> set[str]:
    """The gates at which the batch stops."""
    return {
        point for record in work.records for point in POINTS if f'"hold": "{point}"'.encode() in (record.value or b"")
    }


def _handle(settings: Settings, work: Work, gates: Gates, record: Record) -> Result:
    task = json.loads(record.value)
    _DO.get(task.get("do", ""), lambda *_: None)(task, work, gates)
    if work.tables:
        view, key = work.view(TABLE, record), task["key"].encode()
        known = json.loads(view.get(key) or b"[]")
        view.put(key, json.dumps(known if task["id"] in known else [*known, task["id"]]).encode())
        if task.get("do") == "large value":
            view.put(key, bytes(13 << 20))
    value = bytes(13 << 20) if task.get("do") == "large" else record.value
    topic = f"{settings.topic_prefix}ztf.enriched"
    if task.get("do") == "swallow":
        return Result()
    return Result([Send(topic, record.key, value, record.partition)])


def _slow_the_seek(seconds: float) -> None:
    """The seek after a recovery takes long, and a poll that was under way brings records that nobody takes."""
    from faust.transport.consumer import Consumer

    original = Consumer.perform_seek

    async def slow(self: Any) -> None:
        await asyncio.sleep(seconds)
        sources = {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        await self._getmany(active_partitions=sources, timeout=1.0)
        await original(self)

    Consumer.perform_seek = slow


def _without_patch() -> None:
    """Faust as it is: what the guard of the recovery cures comes back."""
    from faust.tables.recovery import Recovery

    for name in ("on_recovery_completed", "_resume_streams"):
        setattr(Recovery, name, getattr(Recovery, name).__wrapped__)


def _skip_acknowledgements(app: BoomApp, offsets: set[int]) -> None:
    """Records that are never acknowledged: a gap, behind which nothing can be committed."""
    from faust.streams import Stream

    original = Stream.ack

    async def ack(self: Any, event: Any) -> bool:
        return True if event.message.offset in offsets else await original(self, event)

    Stream.ack = ack
    watch_commits(app, 3.0)


def build() -> BoomApp:
    """Build the worker from its environment: ``BOOM_…``, and what the test asks for."""
    gates, outputs = Gates(Path(os.environ["GATES"])), list[HoldingOutput]()
    role = os.environ["BOOM_ROLE"]
    tables = () if role == "sink" else (TABLE,)
    stage = Stage(STAGE, role, ("", ""), "raw", ("enriched", "dead"), tables)
    app = build_app(topology=[stage], make=lambda _, settings: make_driven(settings, gates, outputs))
    outputs.append(HoldingOutput(app.boom, gates))
    app.deliveries[STAGE].output = outputs[0]
    if seconds := os.environ.get("SLOW_SEEK"):
        _slow_the_seek(float(seconds))
    if os.environ.get("WITHOUT_PATCH"):
        _without_patch()
    if offsets := os.environ.get("SKIP_ACK"):
        _skip_acknowledgements(app, set(map(int, offsets.split())))
    return app


if __name__ == "__main__":
    build().main()
