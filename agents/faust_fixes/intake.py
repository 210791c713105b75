"""Faust's intake of records, without what costs and serves nobody here.

* Four tasks a record: Faust hands each record that it has fetched to its streams in a race with the suspension of the
  flow, a stop and a crash, a task each: about 0.1 ms a record. Nearly always there is room in the streams' queues and
  the record is there at once. So it is handed over directly, and the race begins only where it has to wait.
* A request for each record that comes alone: Kafka answers as soon as it has one. After an answer with records the next
  request waits a moment, and what has come meanwhile comes in one answer.
* A pause of the connection for each 128 kB: answers of Kafka have some MB.
* Serializers of keys and values, which are bytes to us.
* Queues that are full by the number of their events, whatever the size of each.
"""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any

import aiokafka.conn  # type: ignore[import-untyped]
import faust
from aiokafka.consumer.fetcher import Fetcher  # type: ignore[import-untyped]
from faust.app.base import App
from faust.serializers.schemas import Schema
from faust.transport.consumer import Consumer
from mode.services import WaitResults
from mode.utils.queues import FlowControlQueue, ThrowableQueue

from boom_streams.agents.faust_fixes.fetching import weight
from boom_streams.agents.faust_fixes.targets import has, mend

__all__ = ["QUEUE_BYTES", "BoundedQueue", "RawSchema", "install"]

#: Bytes of events that wait for a stage in Faust's queue.
QUEUE_BYTES = 16 << 20

#: Half of what a connection reads before it waits for its reader.
_READER_BYTES = 8 << 20


def install(pause: float) -> None:
    """Put the mends in their places.

    Parameters
    ----------
    pause
        Seconds between an answer with records and the next request.
    """
    has("aiokafka", aiokafka.conn, "READER_LIMIT")
    has("faust-streaming", App, "FlowControlQueue", "self maxsize clear_on_resume")
    has("faust-streaming", Schema, "compile", "self app on_key_decode_error on_value_decode_error default_propagate")
    for name in ("_put", "_get"):
        has("mode-streaming", ThrowableQueue, name)
    for owner, name in ((FlowControlQueue, "force_put_nowait"), (ThrowableQueue, "clear")):
        has("mode-streaming", owner, name)
    aiokafka.conn.READER_LIMIT = _READER_BYTES
    mend("faust-streaming", Consumer, "wait_first", "self coros timeout", _direct)
    mend("aiokafka", Fetcher, "_proc_fetch_request", "self assignment node_id request", partial(_with_pause, pause))


def _with_pause(pause: float, original: Any) -> Any:
    @functools.wraps(original)
    async def fetch(self: Any, assignment: Any, node_id: Any, request: Any) -> Any:
        if getattr(self, "has_brought_records", False):
            await asyncio.sleep(pause)
        self.has_brought_records = await original(self, assignment, node_id, request)
        return self.has_brought_records

    return fetch


class RawSchema(faust.Schema[bytes, bytes]):
    """Keys and values as Kafka has them."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Make the function that makes an event of a record."""
        event = app.conf.Event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return event(app, message.key, message.value, message.headers, message)

        return decode


class BoundedQueue(ThrowableQueue[Any]):
    """Faust's queue of a stream, which is full by its bytes, too: it counts events, and one may have 12 MB."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._bytes = 0
        super().__init__(*arguments, **options)

    def full(self) -> bool:
        """Whether whoever brings an event has to wait."""
        return self._bytes >= QUEUE_BYTES or super().full()

    def clear(self) -> None:
        """Throw away what waits."""
        super().clear()
        self._bytes = 0

    def _put(self, item: Any) -> None:
        self._bytes += _weight(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= _weight(item)
        return item


def _weight(event: Any) -> int:
    message = event.message
    return weight(message.key, message.value, message.headers)


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
