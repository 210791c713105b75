"""Faust's watch over its streams says what is not true, several times a second, and counts what nobody reads.

From five minutes after the start on it says of each changelog partition that its stream "has not started processing",
and after a rebalance that no fetch request was sent: changelogs have no stream, and the partitions of a recovery are
paused when it is over. What it means to find is found by `boom_streams.agents.delivery.guards` (commits that stand
still), by the notes on what waits, and by the lag in `boom-streams status`.
"""

from __future__ import annotations

import functools
from typing import Any

from faust.sensors import Monitor
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from boom_streams.agents.faust_fixes.targets import has, mend

__all__ = ["IdleMonitor", "install"]

#: Calls a record, with their parameters.
_COUNTED = {
    "on_message_in": "self tp offset message",
    "on_message_out": "self tp offset message",
    "on_stream_event_in": "self tp offset stream event",
    "on_stream_event_out": "self tp offset stream event state",
}


def install() -> None:
    """Put the mend in its place."""
    for name in ("verify_event_path", "verify_recovery_event_path"):
        mend("faust-streaming", AIOKafkaConsumerThread, name, "self now tp", _silent)
    for name, parameters in _COUNTED.items():
        has("faust-streaming", Monitor, name, parameters)


def _silent(original: Any) -> Any:
    @functools.wraps(original)
    def say_nothing(self: Any, now: float, tp: Any) -> None:
        """Be no watch."""

    return say_nothing


class IdleMonitor(Monitor):
    """Counts no records: `boom-streams status` asks Kafka."""

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        """Count nothing."""

    def on_stream_event_in(self, tp: Any, offset: int, stream: Any, event: Any) -> None:
        """Count nothing."""

    def on_stream_event_out(self, tp: Any, offset: int, stream: Any, event: Any, state: Any = None) -> None:
        """Count nothing."""

    def on_message_out(self, tp: Any, offset: int, message: Any) -> None:
        """Count nothing."""
