"""Batches in hand: bounded, and whose fault an error is."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.errors import BulkWriteError

from boom_streams.agents.delivery.batch import Inbox
from boom_streams.archive.mongo import duplicates


def event(size: int) -> Any:
    return SimpleNamespace(message=SimpleNamespace(key=None, value=bytes(size), headers=()))


async def fill(inbox: Inbox, sizes: list[int]) -> None:
    for size in sizes:
        await inbox.put(event(size))


def batches(count: int, size: int, sizes: list[int]) -> list[list[int]]:
    """Sizes of the records of each batch that an inbox makes of a stream."""

    async def main() -> list[list[int]]:
        inbox = Inbox(count, size)
        filling = asyncio.create_task(fill(inbox, sizes))
        taken: list[list[int]] = []
        while sum(map(len, taken)) < len(sizes):
            taken.append([len(e.message.value) for e in await inbox.take(0.001)])
        await filling
        return taken

    return asyncio.run(main())


@pytest.mark.parametrize(("count", "size"), [(1, 100), (7, 100), (200, 100), (200, 1)])
def test_all_events_pass_in_order_in_bounded_batches(count: int, size: int) -> None:
    sizes = [i * 37 % 60 for i in range(500)] + [1000, 0, 1000]
    taken = batches(count, size, sizes)
    assert [s for batch in taken for s in batch] == sizes
    assert all(len(batch) <= count for batch in taken)
    assert all(sum(batch) <= size or len(batch) == 1 for batch in taken)


def test_what_waits_is_bounded_in_bytes() -> None:
    async def main() -> int:
        inbox = Inbox(200, 100)
        filling = asyncio.create_task(fill(inbox, [30] * 50))
        await asyncio.sleep(0.01)
        waiting = len(inbox._events)
        filling.cancel()
        return waiting

    assert asyncio.run(main()) == 4  # the first that reaches the bound is the last


def bulk(*codes: int, confirmed: bool = True) -> BulkWriteError:
    problems = [{"code": code, "index": 3 * place} for place, code in enumerate(codes)]
    concern = [] if confirmed else [{"code": 64, "errmsg": "waiting for replication timed out"}]
    return BulkWriteError({"writeErrors": problems, "writeConcernErrors": concern})


def test_duplicates_are_told_from_failures() -> None:
    """What MongoDB has not confirmed is not done, even if every refusal is for a key that is there."""
    assert duplicates(bulk(11000, 11000)) == [0, 3]
    for error in (bulk(11000, 121), bulk(11000, confirmed=False), bulk(confirmed=False)):
        with pytest.raises(BulkWriteError) as raised:
            duplicates(error)
        assert raised.value is error
