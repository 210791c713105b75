"""Sending in batches: order, sizes, offsets, and what Kafka refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from aiokafka import cluster

from boom_streams import names
from boom_streams.agents.delivery.one_request import MOST_BYTES
from boom_streams.agents.delivery.output import Output, Send
from boom_streams.errors import ServiceError
from boom_streams.kafka import topics
from boom_streams.kafka.limits import MAX_BYTES
from boom_streams.kafka.reading import scan
from boom_streams.settings import Settings


def send(settings: Settings, *batches: Sequence[Send]) -> list[dict[tuple[str, int], int]]:
    """Send batches through one output; return the offsets after each."""

    async def main() -> list[Mapping[tuple[str, int], int]]:
        output = Output(settings)
        try:
            return [dict(await output.send(batch)) for batch in batches]
        finally:
            await output.close()

    return [dict(offsets) for offsets in asyncio.run(main())]


def topic(settings: Settings) -> str:
    topics.ensure_topics(settings)
    return names.topic("ZTF", "enriched", settings.topic_prefix)


def test_the_order_of_each_partition_is_kept(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=3)
    target = topic(settings)
    sends = [Send(target, b"%d" % i, b"%d" % i, i % 3) for i in range(1000)]
    offsets = send(settings, sends[:700], sends[700:])
    assert offsets[1] == {(target, 0): 333, (target, 1): 332, (target, 2): 332}
    found: dict[int, list[int]] = {}
    for message in scan(settings, [target]):
        assert message.key() == message.value()
        found.setdefault(message.partition(), []).append(int(message.value()))
    assert found == {p: list(range(p, 1000, 3)) for p in range(3)}


def test_small_and_large_batches_follow_each_other(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=2)
    target = topic(settings)
    sizes = [10, MOST_BYTES, 20, 2 * MOST_BYTES, 30, 40]
    offsets = send(settings, *([Send(target, b"k", bytes(size), 1), Send(target, b"k", b"", 0)] for size in sizes))
    assert [each[target, 1] for each in offsets] == list(range(len(sizes)))
    assert [len(m.value()) for m in scan(settings, [target]) if m.partition() == 1] == sizes


def test_records_are_split_over_batches_by_size(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=1)
    target = topic(settings)
    sizes = [10, 3 << 20, 2 << 20, 8 << 20, 100, (4 << 20) - 500, 1, 0]
    offsets = send(settings, [Send(target, b"k", bytes(size), 0) for size in sizes], [])
    assert offsets == [{(target, 0): len(sizes) - 1}, {}]
    assert [len(m.value()) for m in scan(settings, [target])] == sizes


def test_nothing_of_a_record_is_changed(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=1)
    target = topic(settings)
    headers: list[tuple[str, Any]] = [("a", b"1"), ("a", b""), ("é", b"\xff"), ("none", None)]
    sends = [
        Send(target, b"k", b"v", 0, headers),
        Send(target, None, b"", 0),
        Send(target, None, None, 0),  # type: ignore[arg-type]
        Send(target, None, (b"in ", b"", b"pieces"), 0),
    ]
    send(settings, sends)
    first, second, third, fourth = scan(settings, [target])
    assert (first.key(), first.value(), first.headers()) == (b"k", b"v", headers)
    assert (second.key(), second.value()) == (None, b"")
    assert (third.key(), third.value()) == (None, None)
    assert fourth.value() == b"in pieces"
    assert sends[3].size == Send(target, None, b"in pieces", 0).size


def test_the_size_of_a_record_is_known_before_it_is_sent(make_settings: Callable[..., Settings]) -> None:
    """A record of the stated size passes; one that is hardly larger than what Kafka takes does not."""
    settings = make_settings(partitions=1)
    target = topic(settings)
    headers = [("name", b"value")] * 50
    empty = Send(target, b"key", b"", 0, headers).size
    largest = Send(target, b"key", bytes(MAX_BYTES - empty), 0, headers)
    assert largest.size == MAX_BYTES
    assert send(settings, [largest]) == [{(target, 0): 0}]
    with pytest.raises(ServiceError, match=target):
        send(settings, [Send(target, b"key", bytes(MAX_BYTES), 0)])


def test_without_offsets_everything_is_confirmed_and_a_refusal_is_told(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=1)
    target = topic(settings)

    async def main() -> None:
        output = Output(settings, offsets=False)
        assert await output.send([Send(target, b"k", b"%d" % i, 0) for i in range(300)]) == {}
        assert [message.value() for message in scan(settings, [target])] == [b"%d" % i for i in range(300)]
        with pytest.raises(ServiceError, match=target):
            await output.send([Send(target, b"k", bytes(MAX_BYTES), 0)])
        await output.close()

    asyncio.run(main())


def test_nothing_is_said_of_a_filter_s_topic_that_was_removed(
    make_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    """What the client's metadata says of topics that are not there; of any but a filter's it stays."""
    settings = make_settings(partitions=1)
    gone, other = names.filter_topic("bright", settings.topic_prefix), topic(settings)
    send(settings, [Send(other, b"k", b"v", 0)])
    for name in (gone, other):
        cluster.log.error("Topic %s not found in cluster metadata", name)
    assert [message for message in caplog.messages if gone in message] == []
    assert any(other in message for message in caplog.messages)
