"""Composition root: from settings to a Faust app with the tables and agents of a worker's role."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faust
from pymongo.errors import PyMongoError

from boom_streams import names
from boom_streams.agents import faust_fixes
from boom_streams.agents.delivery.belonging import Belonging
from boom_streams.agents.delivery.guards import watch_commits, watch_copartitioning, watch_retention
from boom_streams.agents.delivery.journal import Journal
from boom_streams.agents.delivery.loop import Delivery, Process
from boom_streams.agents.delivery.output import Output
from boom_streams.agents.delivery.probe import Services
from boom_streams.agents.delivery.sampling import sampled
from boom_streams.agents.delivery.watchdog import Watchdog, leave
from boom_streams.agents.faust_fixes.intake import BoundedQueue, RawSchema
from boom_streams.agents.faust_fixes.monitor import IdleMonitor
from boom_streams.archive import mongo
from boom_streams.errors import ServiceError
from boom_streams.operate import layouts, locks
from boom_streams.operate.worker_notes import Notes
from boom_streams.settings import Settings, current_settings
from boom_streams.tables.store import StateTable
from boom_streams.topologies.stage import Stage
from boom_streams.topologies.survey import STAGES, stages_of

__all__ = ["BoomApp", "BoomWorker", "build_app"]

log = logging.getLogger(__name__)

#: Bytes that a fetch asks of one partition; a record that is larger comes alone.
_FETCH_BYTES = 4 << 20

Make = Callable[[Stage, Settings], Process]


class BoomApp(faust.App):
    """Faust app that creates what it needs in Kafka and MongoDB before it starts."""

    boom: Settings
    deliveries: dict[str, Delivery]
    journal: Journal
    watchdog: Watchdog
    _revoked_at: float | None = None

    def seconds_revoked(self) -> float | None:
        """Seconds since the partitions were revoked; None when new ones have been assigned."""
        return None if self._revoked_at is None else time.monotonic() - self._revoked_at

    async def _on_partitions_revoked(self, revoked: Any) -> None:
        self._revoked_at = time.monotonic()
        await super()._on_partitions_revoked(revoked)

    async def _on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        self._revoked_at = None
        await super()._on_partitions_assigned(assigned, generation_id)

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> BoundedQueue:
        """Make a queue for a stream, or for the changelogs in a recovery."""
        return BoundedQueue(maxsize=maxsize, flow_control=self.flow_control, clear_on_resume=clear_on_resume)

    async def on_shutdown(self) -> None:
        """End the connections through which stages send."""
        await super().on_shutdown()
        for delivery in self.deliveries.values():
            await delivery.output.close()

    async def on_first_start(self) -> None:
        """Check the archive, create what is missing unless ``BOOM_INIT=0``, and open what only a worker may touch."""
        try:
            from boom_streams.operate.prepare import check_archive, initialise

            archive = not all(stage.without_archive for stage in stages_of(self.boom.role))
            await asyncio.to_thread(check_archive, self.boom, needed=archive)
            if self.boom.init:
                for change in await asyncio.to_thread(initialise, self.boom, archive=archive):
                    log.info("init: %s", change)
            await asyncio.to_thread(_check_layout, self.boom)
            locks.hold(self.boom.worker_folder, "worker", "APP_DATADIR")
            self.journal.open()
        except Exception as error:
            leave("%s", mongo.explain(error) if isinstance(error, PyMongoError) else error)
        self.watchdog.start()
        _collect_garbage_rarely()
        await super().on_first_start()


class BoomWorker(faust.Worker):
    """Faust's worker without the spinner, for whose sake every debug message of every library would be made."""

    def _setup_spinner_handler(self, logger: logging.Logger, level: int) -> None:
        logger.setLevel(level)


def _check_layout(settings: Settings) -> None:
    """Refuse to start beside the other layout's committed offsets; who may not ask Kafka for them is warned."""
    try:
        layouts.check(settings, "all" if settings.role == "all" else "roles")
    except ServiceError as error:
        log.warning("it is not known whether workers of the other layout have run: %s", error)


def _collect_garbage_rarely() -> None:
    """Look for cycles less often: a batch makes 100,000 objects, nearly all of which go by themselves."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def make_process(stage: Stage, settings: Settings) -> Process:
    """Make what a stage does; loads only the modules that it needs."""
    module, function = stage.maker
    make: Callable[[Settings], Process] = getattr(importlib.import_module(f"boom_streams.agents.{module}"), function)
    return make(settings)


def build_app(
    settings: Settings | None = None, topology: Sequence[Stage] = STAGES, make: Make = make_process
) -> BoomApp:
    """Build the Faust app of a worker.

    Parameters
    ----------
    settings
        Settings; by default the process's own (environment, ``boom.toml``).
    topology
        All stages, of which the worker runs those of its role.
    make
        Makes what a stage does.

    Returns
    -------
    BoomApp
        The app with the tables and agents of ``settings.role``; nothing is connected yet.
    """
    settings = settings or current_settings()
    stages = [stage for stage in topology if settings.role in ("all", stage.role)]
    folder = settings.worker_folder
    app = _new_app(settings, stages, folder)
    app.boom = settings
    tables = {name: _table(app, settings, name) for stage in stages for name in stage.tables}
    app.journal = Journal(folder / "journal.json")
    app.watchdog = Watchdog(settings.session_timeout if tables else None, lambda: bool(app.should_stop))
    notes = Notes(folder)
    waits = {stage.name: settings.batch_ms if stage.gathers else settings.batch_ms // 10 for stage in stages}
    faust_fixes.install(notes.lost, pause=min(waits.values()) / 3000)
    app.deliveries = {
        stage.name: Delivery(
            app,
            stage.name,
            sampled(make(stage, settings), stage.name, settings.validate_sample, notes.unfit),
            output=Output(settings, offsets=bool(stage.tables)),
            dead_topic=_dead_topic,
            journal=app.journal,
            watchdog=app.watchdog,
            probe=Services(settings, _written(settings, stage)),
            notes=notes,
            belonging=Belonging(settings),
            tables=[tables[name] for name in stage.tables],
            batch_size=settings.batch_size,
            batch_ms=waits[stage.name],
        )
        for stage in stages
    }
    for stage in stages:
        _add_agent(app, stage.name, _sources(settings, stage))
    watch_copartitioning(app, [(tables[name], _sources(settings, stage)) for stage in stages for name in stage.tables])
    watch_commits(app)
    watch_retention(app, settings)
    return app


def _new_app(settings: Settings, stages: list[Stage], folder: Path) -> BoomApp:
    timeout = settings.session_timeout
    return BoomApp(
        names.group_id(settings.role, settings.topic_prefix),
        broker="aiokafka://" + ";".join(settings.kafka.split(",")),
        version=1,
        origin="boom_streams",
        autodiscover=False,
        store="rocksdb://",
        datadir=str(folder),
        key_serializer="raw",
        value_serializer="raw",
        agent_supervisor="mode.CrashingSupervisor",
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        broker_commit_interval=1.0,
        broker_session_timeout=timeout,
        broker_heartbeat_interval=timeout / 5,
        broker_rebalance_timeout=max(30.0, timeout),
        broker_request_timeout=max(60.0, 2 * timeout),
        broker_max_poll_interval=3600.0,
        broker_max_poll_records=500,
        consumer_max_fetch_size=_FETCH_BYTES,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=max(64, settings.batch_size),
        stream_wait_empty=any(stage.tables for stage in stages),
        web_enabled=False,
        Worker=BoomWorker,
        Monitor=IdleMonitor,
        **_credentials(settings),
    )


def _credentials(settings: Settings) -> dict[str, Any]:
    if settings.kafka_username is None or settings.kafka_password is None:
        return {}
    return {
        "broker_credentials": faust.SASLCredentials(
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            mechanism="SCRAM-SHA-512",
        )
    }


def _table(app: BoomApp, settings: Settings, name: str) -> StateTable:
    changelog = app.topic(
        names.changelog_topic(name, settings.topic_prefix),
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=settings.partitions,
        compacting=True,
        internal=True,
    )
    table = StateTable(
        app, name=name, changelog_topic=changelog, key_type=bytes, value_type=bytes, partitions=settings.partitions
    )
    app.tables.add(table)
    return table


def _sources(settings: Settings, stage: Stage) -> list[str]:
    return [names.topic(survey, stage.source, settings.topic_prefix) for survey in settings.surveys]


def _written(settings: Settings, stage: Stage) -> list[str]:
    """Collections that a stage writes to."""
    return [names.collection(survey, kind) for survey in settings.surveys for kind in stage.collections]


def _dead_topic(source: str) -> str:
    return source.rpartition(".")[0] + ".dead"


def _add_agent(app: BoomApp, name: str, sources: list[str]) -> None:
    delivery = app.deliveries[name]
    channel = app.topic(*sources, schema=RawSchema(), key_type=bytes, value_type=bytes)

    @app.agent(channel, name=name)
    async def agent(stream: Any) -> None:
        await delivery.run(stream)
