"""Guards around Faust: what it does wrong after a recovery, and what a worker must notice about itself."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from typing import Any

from faust import streams
from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver

from boom_streams.agents.delivery.watchdog import fail_stop
from boom_streams.errors import ServiceError
from boom_streams.tables.store import StateTable

__all__ = ["watch_commits", "watch_copartitioning", "write_before_reading"]

#: Seconds after which commits that do not get on are stuck.
STUCK = 60.0


def write_before_reading() -> None:
    """Patch Faust once: an idempotent producer, no flow between recovery and its seek, a seek that leaves nothing out.

    Faust resumes the partitions before it seeks to the committed offsets, and then clears its queues: what
    it fetched in between is never handled (faust-streaming issue 596). Stopping the flow first cures it.
    """
    if getattr(streams, "_CStreamIterator", None) is None:
        raise ServiceError("Faust's compiled stream iterator is missing: reinstall faust-streaming")
    for name in ("on_recovery_completed", "_resume_streams"):
        original = getattr(Recovery, name)
        if not hasattr(original, "__wrapped__"):
            setattr(Recovery, name, _stop_flow_first(original))
    seek = driver.AIOKafkaConsumerThread.seek_to_committed
    if not hasattr(seek, "__wrapped__"):
        setattr(driver.AIOKafkaConsumerThread, "seek_to_committed", _seek_everything(seek))  # noqa: B010
    setattr(driver.Producer, "_settings_extra", lambda self: {"acks": "all", "enable_idempotence": True})  # noqa: B010


def _stop_flow_first(original: Any) -> Any:
    @functools.wraps(original)
    async def stopped(self: Any, generation_id: int = 0) -> Any:
        self.app.consumer.stop_flow()
        self.app.flow_control.suspend()
        return await original(self, generation_id)

    return stopped


def _seek_everything(original: Any) -> Any:
    """Seek partitions without a committed offset too, to their beginning.

    The client leaves them where they are: what was fetched and thrown away around a recovery would be passed over.
    """

    @functools.wraps(original)
    async def seek(self: Any) -> Any:
        offsets = await original(self)
        fresh = [tp for tp, offset in offsets.items() if not offset and not self.consumer._is_changelog_tp(tp)]
        if fresh:
            await self.call_thread(_seek_to_beginning, self._ensure_consumer(), fresh)
        return offsets

    return seek


async def _seek_to_beginning(consumer: Any, partitions: list[Any]) -> None:
    """Seek at once, as the client does with a committed offset; its own method waits for its fetches first."""
    for partition, first in (await consumer.beginning_offsets(partitions)).items():
        consumer.seek(partition, first)


def watch_copartitioning(app: Any, tables: Iterable[tuple[StateTable, list[str]]]) -> None:
    """End a worker that was assigned a source partition without its table's partition."""
    pairs = list(tables)

    async def check(sender: Any, assigned: Any, **_: Any) -> None:
        for table, sources in pairs:
            owned = {tp.partition for tp in assigned if tp.topic == table.changelog_topic_name}
            needed = {tp.partition for tp in assigned if tp.topic in sources}
            if needed - owned:
                fail_stop("table %s: source partitions %s without their changelog", table.name, needed - owned)

    app.on_partitions_assigned.connect(check, weak=False)


def watch_commits(app: Any, seconds: float = STUCK) -> None:
    """End a worker whose commits are stuck behind a gap that will never be acknowledged."""
    stuck_since: dict[Any, tuple[int, float]] = {}

    @app.timer(seconds / 6)  # type: ignore[untyped-decorator]
    async def watch() -> None:
        for tp, acked in list(app.consumer._acked.items()):
            committed = app.consumer._committed_offset.get(tp)
            if not acked or not committed or min(acked) <= committed:
                stuck_since.pop(tp, None)
                continue
            position, since = stuck_since.setdefault(tp, (committed, time.monotonic()))
            if position != committed:
                stuck_since[tp] = (committed, time.monotonic())
            elif time.monotonic() - since > seconds:
                fail_stop("commits of %s are stuck at %d", tp, committed)
