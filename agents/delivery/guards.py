"""What a worker must notice about itself: tables without sources, commits that stand still, records that expire."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any

from boom_streams.agents.delivery.watchdog import fail_stop
from boom_streams.errors import BoomError
from boom_streams.operate.retention import expiring
from boom_streams.settings import Settings
from boom_streams.tables.store import StateTable

__all__ = ["watch_commits", "watch_copartitioning", "watch_retention"]

log = logging.getLogger(__name__)

#: Seconds between two looks at what may be deleted before it is read.
EXPIRY = 600.0

#: Seconds after which commits that do not get on are stuck.
STUCK = 60.0


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


def watch_retention(app: Any, settings: Settings, seconds: float = EXPIRY) -> None:
    """Say in the log what the worker's role has not read for so long that it may be deleted unread."""

    @app.timer(seconds)  # type: ignore[untyped-decorator]
    async def watch() -> None:
        try:
            for problem in await asyncio.to_thread(expiring, settings, settings.role):
                log.error("%s", problem)
        except BoomError as error:
            log.warning("it is not known whether records expire unread: %s", error)
