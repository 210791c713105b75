"""Faust resumes partitions after a recovery before it has sought their offsets; what it fetched meanwhile it drops.

`Recovery.on_recovery_completed` and `_resume_streams` resume the source partitions, seek to the committed offsets, and
then clear the queues, as the flow resumes: records that came in between are never handled, and the commits stand still
behind them (faust-streaming issue 596). Stopping the flow first cures it.

A RocksDB that is ahead of its changelog is another broker's. Faust raises `ConsistencyError` for it in a task, with a
traceback; the worker ends with a sentence instead.

The store of a table (`boom_streams.tables.store`) stands on Faust's own, which logs and skips changelog records that it
cannot apply, and opens a RocksDB again without its options; what it takes from Faust's is made sure of here.
"""

from __future__ import annotations

import functools
from typing import Any

import rocksdict
from faust import streams
from faust.app.base import App
from faust.stores import rocksdb
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer
from mode.utils.queues import FlowControlEvent

from boom_streams.agents.delivery.watchdog import leave
from boom_streams.agents.faust_fixes.targets import has, mend

__all__ = ["install"]


def install() -> None:
    """Put the mend in its place."""
    # The pure iterator acknowledges records of another generation that it skips.
    has("faust-streaming", streams, "_CStreamIterator")
    has("faust-streaming", Consumer, "stop_flow", "self")
    has("faust-streaming", App, "flow_control")
    has("mode-streaming", FlowControlEvent, "suspend", "self")
    for name in ("on_recovery_completed", "_resume_streams"):
        mend("faust-streaming", Recovery, name, "self generation_id", _stop_flow_first)
    mend("faust-streaming", Recovery, "_build_offsets", "self consumer tps destination title", _refuse_foreign)
    has("faust-streaming", rocksdb.Store, "_db_for_partition", "self partition")
    has("faust-streaming", rocksdb.Store, "apply_changelog_batch", "self batch to_key to_value")
    has("faust-streaming", rocksdb.Store, "set_persisted_offset", "self tp offset")
    has("faust-streaming", rocksdb.Store, "offset_key")
    has("faust-streaming", rocksdb.RocksDBOptions, "open", "self path read_only")
    has("rocksdict", rocksdict.Rdict, "write")


def _stop_flow_first(original: Any) -> Any:
    @functools.wraps(original)
    async def stopped(self: Any, generation_id: int = 0) -> Any:
        self.app.consumer.stop_flow()
        self.app.flow_control.suspend()
        return await original(self, generation_id)

    return stopped


def _refuse_foreign(original: Any) -> Any:
    @functools.wraps(original)
    async def checked(self: Any, consumer: Any, tps: Any, destination: Any, title: str) -> None:
        await original(self, consumer, tps, destination, title)
        for tp in tps:
            ends_at = self.active_highwaters.get(tp)
            if title == "active" and ends_at is not None and (destination[tp] or -1) > ends_at:
                leave(
                    "the worker folder %s belongs to another broker: its tables have more of %s, partition %d, than "
                    "Kafka has; remove it: its tables are made again from their changelogs",
                    self.app.conf.datadir,
                    tp.topic,
                    tp.partition,
                )

    return checked
