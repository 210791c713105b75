"""Faust's intake of records, without what costs and serves nobody here.

* Four tasks a record: Faust hands each record that it has fetched to its streams in a race with the suspension of the
  flow, a stop and a crash, a task each: about 0.1 ms a record. Nearly always there is room in the streams' queues and
  the record is there at once. So it is handed over directly, and the race begins only where it has to wait.
* A pause of the connection for each 128 kB: answers of Kafka have some MB.
* Serializers of keys and values, which are bytes to us.
* Counts and durations of every record: `boom-streams status` asks Kafka.
"""

from __future__ import annotations

import functools
import time
import types
from collections.abc import Coroutine, Generator
from typing import Any

import aiokafka.conn  # type: ignore[import-untyped]
import faust
from faust.sensors import Monitor
from faust.transport.consumer import Consumer
from mode.services import WaitResults

__all__ = ["IdleMonitor", "RawSchema", "hand_over_directly", "read_on"]

#: Half of what a connection reads before it waits for its reader.
_READER_BYTES = 8 << 20


def hand_over_directly() -> None:
    """Patch Faust's consumer once."""
    original = Consumer.wait_first
    if not hasattr(original, "__wrapped__"):
        setattr(Consumer, "wait_first", _direct(original))  # noqa: B010


def read_on() -> None:
    """Have connections to Kafka that are made from now on pause only for some MB."""
    aiokafka.conn.READER_LIMIT = _READER_BYTES


class RawSchema(faust.Schema[bytes, bytes]):
    """Keys and values as Kafka has them."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Make the function that makes an event of a record."""
        event = app.conf.Event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return event(app, message.key, message.value, message.headers, message)

        return decode


class IdleMonitor(Monitor):
    """Only what Faust's own watch over streams that stand still asks: when each had its last record."""

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        """Count nothing."""

    def on_stream_event_in(self, tp: Any, offset: int, stream: Any, event: Any) -> None:
        """Note that the stream moves."""
        self.stream_inbound_time[tp] = time.monotonic()

    def on_stream_event_out(self, tp: Any, offset: int, stream: Any, event: Any, state: Any = None) -> None:
        """Count nothing."""

    def on_message_out(self, tp: Any, offset: int, message: Any) -> None:
        """Count nothing."""


def _direct(original: Any) -> Any:
    @functools.wraps(original)
    async def wait_first(self: Any, *waiting: Any, timeout: Any = None) -> Any:
        if len(waiting) != 2 or self.suspend_flow.is_set() or self._stopped.is_set() or self._crashed.is_set():
            return await original(self, *waiting, timeout=timeout)
        handing, suspension = waiting
        try:
            yielded = handing.send(None)
        except StopIteration as stop:
            suspension.close()
            return WaitResults([handing], [stop.value], False)
        except BaseException:
            suspension.close()
            raise
        return await original(self, _rest(handing, yielded), suspension, timeout=timeout)

    return wait_first


async def _rest(begun: Coroutine[Any, Any, Any], yielded: Any) -> Any:
    return await _resume(begun, yielded)


@types.coroutine
def _resume(begun: Coroutine[Any, Any, Any], yielded: Any) -> Generator[Any, Any, Any]:
    """Go on with a coroutine that waits for what it yielded."""
    while True:
        try:
            sent = yield yielded
        except GeneratorExit:
            begun.close()
            raise
        except BaseException as error:
            step = functools.partial(begun.throw, error)
        else:
            step = functools.partial(begun.send, sent)
        try:
            yielded = step()
        except StopIteration as stop:
            return stop.value
