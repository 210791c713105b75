"""Records are handed to streams directly, and in the race with a suspension only where they have to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.consumer import Consumer
from mode import Service
from mode.utils.locks import Event
from mode.utils.queues import FlowControlEvent

from boom_streams.agents.faust_fixes import intake

intake.install(0.01)


class Intake(Service):
    """What the patched method uses of Faust's consumer."""

    wait_first = Consumer.wait_first

    def __post_init__(self) -> None:
        self.suspend_flow = Event()
        self.handed: list[int] = []
        self.queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)

    async def put(self, number: int) -> None:
        """What a stream does with a record."""
        await self.queue.put(number)
        self.handed.append(number)

    async def offer(self, number: int) -> Any:
        """Hand a record over as Faust does."""
        return await self.wait_first(self.put(number), self.suspend_flow.wait())


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


def test_nothing_but_the_record_runs_while_there_is_room() -> None:
    async def test() -> None:
        intake = Intake()
        before = asyncio.all_tasks()
        results = await intake.offer(1)
        assert (intake.handed, results.stopped, results.results) == ([1], False, [None])
        assert asyncio.all_tasks() == before

    run(test())


def test_a_full_queue_is_waited_for_and_the_order_kept() -> None:
    async def test() -> None:
        intake = Intake()

        async def offer_all() -> None:
            for number in range(6):
                await intake.offer(number)

        offering = asyncio.create_task(offer_all())
        taken = [await intake.queue.get() for _ in range(6)]
        await offering
        assert taken == intake.handed == list(range(6))

    run(test())


@pytest.mark.parametrize("suspended_before", [True, False])
def test_a_suspension_takes_back_a_record_that_waits(suspended_before: bool) -> None:
    async def test() -> None:
        intake = Intake()
        await intake.offer(1)
        await intake.offer(2)
        if suspended_before:
            intake.suspend_flow.set()
        offering = asyncio.create_task(intake.offer(3))
        await asyncio.sleep(0)
        intake.suspend_flow.set()
        await offering
        await asyncio.sleep(0)
        assert intake.handed == [1, 2]
        assert intake.queue.qsize() == 2

    run(test())


def test_an_error_of_the_stream_is_told() -> None:
    async def fails(wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise RuntimeError("no such stream")

    async def test(wait: bool) -> None:
        intake = Intake()
        with pytest.raises(RuntimeError, match="no such stream"):
            await intake.wait_first(fails(wait), intake.suspend_flow.wait())

    run(test(False))
    run(test(True))


class Waiting:
    """An event with a record of some bytes."""

    def __init__(self, size: int) -> None:
        self.message = SimpleNamespace(key=None, value=bytes(size), headers=())


def test_a_queue_is_full_by_its_bytes() -> None:
    async def test() -> None:
        flow = FlowControlEvent(initially_suspended=False)
        queue = intake.BoundedQueue(maxsize=500, flow_control=flow, clear_on_resume=True)
        largest = 11 << 20
        await queue.put(Waiting(largest))
        assert not queue.full()
        await queue.put(Waiting(largest))
        assert queue.full()
        waiting = asyncio.create_task(queue.put(Waiting(largest)))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert len((await queue.get()).message.value) == largest
        await waiting
        assert (queue.full(), queue.qsize()) == (True, 2)
        flow.resume()  # throws away what waits
        assert not queue.full()
        for _ in range(500):
            await queue.put(Waiting(10))
        assert queue.full(), "by its number, too"

    run(test())
