"""The main job from its beginning to its end, on this machine: a night of alerts through every stage."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files as _files
from pathlib import Path
from typing import TYPE_CHECKING

from boom_streams import names
from boom_streams.errors import BoomError
from boom_streams.ingest.replay import Counts, replay
from boom_streams.kafka import offsets, reading
from boom_streams.kafka.clients import partition_counts
from boom_streams.operate import layouts, status
from boom_streams.operate.division import cores, divide
from boom_streams.operate.prepare import initialise
from boom_streams.operate.supervise import Supervisor
from boom_streams.publish.results import Passing
from boom_streams.schema.filtered import decode_filtered
from boom_streams.settings import load_settings
from boom_streams.topologies.survey import TOPICS

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["Outcome", "Report", "activate_examples", "await_workers", "drain", "run", "running_services"]

#: Seconds without any progress after which the demo gives up.
PATIENCE = 180.0

#: Times that one worker may exit before the demo gives up.
EXITS = 6

Marks = dict[tuple[str, int], tuple[int, int]]


@dataclass(slots=True)
class Outcome:
    """What came of a night.

    Attributes
    ----------
    replayed
        What was written to the raw topic.
    stages
        Records that each stage has written: ``enriched``, ``classified``, ``filtered``, ``dead``.
    alerts
        Alerts that passed a filter.
    seconds
        From the first alert's replay to the end of the last stage.
    """

    replayed: Counts
    stages: dict[str, int] = field(default_factory=dict)
    alerts: list[Passing] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Alerts a second through the whole chain."""
        return self.replayed.alerts / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """Where `run` tells what it is doing; each function may do nothing."""

    say: Callable[[str], None]
    replayed: Callable[[Counts], None]
    left: Callable[[int], None]


@contextmanager
def running_services(keep: bool) -> Iterator[Settings]:
    """Settings of services that run: those that the settings name, else local ones.

    Local services are stopped at the end if neither ran before, unless ``keep``.
    """
    from boom_streams import services

    settings = load_settings()
    local = {each.endpoint for each in services.status(settings.data_dir)}
    if not (settings.kafka in local or settings.kafka == type(settings).model_fields["kafka"].default):
        yield settings
        return
    before = {each.name for each in services.status(settings.data_dir) if each.pid}
    try:
        services.start(settings.data_dir)
        yield load_settings()
    finally:
        if not keep and not before:
            offsets.disconnect()
            services.stop(settings.data_dir)


def run(
    settings: Settings, survey: str, night: Sequence[str | Path], report: Report, limit: int | None = None
) -> Outcome:
    """Send a night through every stage, and wait for the last one.

    Parameters
    ----------
    settings
        Services that run.
    survey
        Survey of the alerts.
    night
        Folders, ``.avro`` files and archives.
    report
        Told of the progress.
    limit
        Most alerts.

    Raises
    ------
    BoomError
        If a worker does not stay up, or nothing moves for `PATIENCE` seconds.
    """
    if changes := initialise(settings):
        report.say(f"made ready: {len(changes)} topics, collections and indexes")
    layouts.check(settings, "roles")
    for name in activate_examples(settings, survey):
        report.say(f"filter {name} is active")
    if backlog := status.total_lag(settings):
        report.say(f"{backlog} records of an earlier run are left, and will be counted with this one's")
    before = _marks(settings, survey)
    exits: dict[str, int] = {}
    with Supervisor(settings, divide(cores(), settings.partitions)) as supervisor:

        def watch() -> None:
            for exited in supervisor.poll():
                exits[exited.worker] = exits.get(exited.worker, 0) + 1
                report.say(f"worker {exited.worker} exited with {exited.code}; again in {exited.wait:g} s")
                if exits[exited.worker] >= EXITS:
                    role, _, index = exited.worker.rpartition("-")
                    raise BoomError(_explain(exited.worker, supervisor.log_file(role, int(index))))

        def progress(counts: Counts) -> None:
            watch()
            report.replayed(counts)

        await_workers(settings, len(supervisor.members()), watch)
        start = time.monotonic()
        outcome = Outcome(replay(settings, survey, night, limit=limit, progress=progress))
        drain(settings, watch, report.left)
        outcome.seconds = time.monotonic() - start
    _collect(settings, survey, before, outcome)
    return outcome


def activate_examples(settings: Settings, survey: str) -> list[str]:
    """Add and activate the shipped example filters that are not there yet; return their names."""
    from boom_streams.archive import mongo
    from boom_streams.filters.store import FilterStore

    store = FilterStore(mongo.database(settings))
    present = {document["name"] for document in store.list_all()}
    added = []
    for file in sorted(_files("boom_streams.filters").joinpath("examples").iterdir(), key=lambda f: f.name):
        name = file.name.removesuffix(".json")
        if name == file.name or name in present:
            continue
        content = json.loads(file.read_text())
        example = content if isinstance(content, dict) else {"pipeline": content}
        if example.get("survey", survey) != survey:
            continue
        permissions = example.get("permissions", {survey: [1, 2, 3]})  # a night that one has, one may see
        store.add(name, survey, example["pipeline"], permissions, description=example.get("description"))
        store.activate(name)
        added.append(name)
    return added


def await_workers(settings: Settings, workers: int, watch: Callable[[], object] = lambda: None) -> None:
    """Wait until all workers have joined their groups: the rate is the stages' then, and no record is handled twice."""
    deadline = time.monotonic() + PATIENCE
    while sum(layouts.members(settings, settled=True).values()) < workers:
        watch()
        if time.monotonic() > deadline:
            raise BoomError(f"the workers do not start; their output is in {settings.data_dir / 'logs'}")
        time.sleep(0.1)


def drain(
    settings: Settings,
    watch: Callable[[], None] = lambda: None,
    left: Callable[[int], None] = lambda count: None,
    running: str = "roles",
) -> None:
    """Wait until no stage and no sink of the layout ``running`` has anything left to do."""
    lags: dict[tuple[str, str], int] = {}
    moved = time.monotonic()
    while True:
        watch()
        now = status.lag(settings, running)
        left(sum(now.values()))
        if not any(now.values()):
            return
        if now != lags:
            lags, moved = now, time.monotonic()
        if time.monotonic() - moved > PATIENCE:
            stuck = ", ".join(f"{role} ({topic}: {n})" for (role, topic), n in now.items() if n)
            raise BoomError(
                f"nothing has moved for {PATIENCE:g} s; records are left to {stuck}; "
                f"the workers' output is in {settings.data_dir / 'logs'}"
            )
        time.sleep(0.25)


def _marks(settings: Settings, survey: str) -> Marks:
    existing = partition_counts(settings)
    topics = [names.topic(survey, stage, settings.topic_prefix) for stage in TOPICS]
    return offsets.watermarks(settings, {topic: existing[topic] for topic in topics})


def _collect(settings: Settings, survey: str, before: Marks, outcome: Outcome) -> None:
    """Count what the stages have written, and read what passed."""
    after = _marks(settings, survey)
    for stage in TOPICS[1:]:
        topic = names.topic(survey, stage, settings.topic_prefix)
        outcome.stages[stage] = sum(high - before[where][1] for where, (_, high) in after.items() if where[0] == topic)
    filtered = names.topic(survey, "filtered", settings.topic_prefix)
    since = {where: high for where, (_, high) in before.items()}
    containers = [message.value() or b"" for message in reading.scan(settings, [filtered], since)]
    passed = [Passing(decode_filtered(container), container) for container in containers]
    outcome.alerts = list({alert.identity: alert for alert in passed}.values())
    outcome.alerts.sort(key=lambda alert: (alert.alert["objectId"], alert.alert["candid"]))


def _explain(worker: str, log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").splitlines() if log_file.exists() else []
    tail = os.linesep.join(lines[-15:])
    return f"the worker {worker} does not stay up; the end of {log_file}:{os.linesep}{tail}"
