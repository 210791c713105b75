"""Composition root: from settings to a Faust app with the tables and agents of a worker's role."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from pathlib import Path
from typing import Any

import faust

from boom_streams import names
from boom_streams.agents.delivery import Delivery
from boom_streams.agents.journal import Journal
from boom_streams.agents.output import Output
from boom_streams.agents.safety import watch_commits, watch_copartitioning, write_before_reading
from boom_streams.settings import Settings, settings
from boom_streams.tables.store import StateTable
from boom_streams.topologies.stage import Stage
from boom_streams.topologies.survey import STAGES

__all__ = ["BoomApp", "build_app"]

log = logging.getLogger(__name__)

#: What each stage does: a module and the function that makes its ``process``; loaded only where it runs.
_MAKERS = {
    "enrich": ("enrich", "make"),
    "classify": ("classify", "make"),
    "filter": ("filter", "make"),
    "sink_enriched": ("sink", "make_enriched"),
    "sink_classified": ("sink", "make_classified"),
    "sink_filtered": ("sink", "make_filtered"),
}

_MAX_BYTES = 12 << 20


class BoomApp(faust.App):
    """Faust app that creates what it needs in Kafka and MongoDB before it starts."""

    boom: Settings
    deliveries: dict[str, Delivery]

    async def on_first_start(self) -> None:
        """Create missing topics and indexes, unless ``BOOM_INIT=0``."""
        if self.boom.init:
            from boom_streams.init import initialise

            try:
                for change in await asyncio.to_thread(initialise, self.boom):
                    log.info("init: %s", change)
            except Exception as error:
                log.critical("%s", error)
                logging.shutdown()
                os._exit(1)
        await super().on_first_start()


def build_app(config: Settings | None = None) -> BoomApp:
    """Build the Faust app of a worker.

    Parameters
    ----------
    config
        Settings; by default the process's own (environment, ``boom.toml``).

    Returns
    -------
    BoomApp
        The app with the tables and agents of ``config.role``; nothing is connected yet.
    """
    config = config or settings()
    write_before_reading()
    stages = [stage for stage in STAGES if config.role in ("all", stage.role)]
    app = _new_app(config, stages)
    app.boom = config
    tables = {name: _table(app, config, name) for stage in stages for name in stage.tables}
    journal_folder = Path(os.environ.get("APP_DATADIR", config.data_dir / "worker"))
    app.deliveries = {
        stage.name: _add_agent(app, config, stage, tables, Journal(journal_folder / f"{stage.name}.json"))
        for stage in stages
    }
    watch_copartitioning(app, [(tables[name], _sources(config, stage)) for stage in stages for name in stage.tables])
    watch_commits(app)
    return app


def _new_app(config: Settings, stages: list[Stage]) -> BoomApp:
    timeout = config.session_timeout
    return BoomApp(
        names.group_id(config.role, config.topic_prefix),
        broker="aiokafka://" + ";".join(config.kafka.split(",")),
        version=1,
        origin="boom_streams",
        autodiscover=False,
        store="rocksdb://",
        key_serializer="raw",
        value_serializer="raw",
        agent_supervisor="mode.CrashingSupervisor",
        topic_partitions=config.partitions,
        topic_replication_factor=config.replication,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        broker_commit_interval=0.5,
        broker_session_timeout=timeout,
        broker_heartbeat_interval=timeout / 5,
        broker_rebalance_timeout=max(30.0, timeout),
        broker_request_timeout=max(60.0, 2 * timeout),
        broker_max_poll_interval=3600.0,
        broker_max_poll_records=500,
        consumer_max_fetch_size=_MAX_BYTES,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=max(64, config.batch_size),
        stream_wait_empty=any(stage.tables for stage in stages),
        producer_acks=-1,
        producer_linger=0.0,
        producer_max_batch_size=4 << 20,
        producer_max_request_size=_MAX_BYTES,
        producer_request_timeout=60.0,
        producer_threaded=False,
        web_enabled=False,
        **_credentials(config),
    )


def _credentials(config: Settings) -> dict[str, Any]:
    if config.kafka_username is None or config.kafka_password is None:
        return {}
    return {
        "broker_credentials": faust.SASLCredentials(
            username=config.kafka_username,
            password=config.kafka_password.get_secret_value(),
            mechanism="SCRAM-SHA-512",
        )
    }


def _table(app: BoomApp, config: Settings, name: str) -> StateTable:
    changelog = app.topic(
        names.changelog_topic(name, config.topic_prefix),
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=config.partitions,
        compacting=True,
        internal=True,
    )
    table = StateTable(
        app, name=name, changelog_topic=changelog, key_type=bytes, value_type=bytes, partitions=config.partitions
    )
    app.tables.add(table)
    return table


def _sources(config: Settings, stage: Stage) -> list[str]:
    return [names.topic(survey, stage.source, config.topic_prefix) for survey in config.surveys]


def _add_agent(
    app: BoomApp, config: Settings, stage: Stage, tables: dict[str, StateTable], journal: Journal
) -> Delivery:
    def dead_topic(source: str) -> str:
        return source.rpartition(".")[0] + ".dead"

    module, function = _MAKERS[stage.name]
    make = getattr(importlib.import_module(f"boom_streams.agents.{module}"), function)
    delivery = Delivery(
        app,
        stage.name,
        make(config),
        output=Output(config),
        dead_topic=dead_topic,
        journal=journal,
        tables=[tables[name] for name in stage.tables],
        blocking=stage.role != "enrich",
        batch_size=config.batch_size,
        batch_ms=config.batch_ms,
    )
    channel = app.topic(
        *_sources(config, stage), key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )

    @app.agent(channel, name=stage.name)
    async def agent(stream: Any) -> None:
        await delivery.run(stream)

    return delivery
