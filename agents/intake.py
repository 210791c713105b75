"""Faust's intake of records, without four tasks a record.

Faust hands each record that it has fetched to its streams in a race with the suspension of the flow, a stop and a
crash, a task each: about 0.1 ms a record. Nearly always there is room in the streams' queues and the record is there at
once. So it is handed over directly, and the race begins only where it has to wait.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Coroutine, Generator
from typing import Any

from faust.transport.consumer import Consumer
from mode.services import WaitResults

__all__ = ["hand_over_directly"]


def hand_over_directly() -> None:
    """Patch Faust's consumer once."""
    original = Consumer.wait_first
    if not hasattr(original, "__wrapped__"):
        setattr(Consumer, "wait_first", _direct(original))  # noqa: B010


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
