"""Offsets that the client leaves as they are: where nothing was committed, and where records are gone.

* A seek to the committed offsets leaves partitions without one where they are: what was fetched and thrown away around
  a recovery would be passed over. They are sought to their beginning.
* Records that Kafka has deleted before they were read (its retention, while the workers were down) are passed over
  without a word: the client goes to the first record there is. That is said, with the offsets.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from aiokafka.consumer.consumer import AIOKafkaConsumer  # type: ignore[import-untyped]
from aiokafka.consumer.fetcher import Fetcher  # type: ignore[import-untyped]
from aiokafka.consumer.subscription_state import TopicPartitionState  # type: ignore[import-untyped]
from aiokafka.structs import TopicPartition  # type: ignore[import-untyped]
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from boom_streams.agents.faust_fixes.targets import has, mend

__all__ = ["OnLost", "install"]

log = logging.getLogger(__name__)

#: Topic, partition, first offset that is gone, and the one from which on there are records.
OnLost = Callable[[str, int, int, int], None]


def install(on_lost: OnLost) -> None:
    """Put the mends in their places."""
    has("aiokafka", AIOKafkaConsumer, "seek", "self partition offset")
    has("aiokafka", AIOKafkaConsumer, "beginning_offsets", "self partitions")
    has("aiokafka", TopicPartitionState, "awaiting_reset")
    has("aiokafka", TopicPartitionState, "position")
    mend("faust-streaming", AIOKafkaConsumerThread, "seek_to_committed", "self", _seek_everything)
    mend("aiokafka", Fetcher, "_proc_fetch_request", "self assignment node_id request", _note_position)
    mend(
        "aiokafka",
        Fetcher,
        "_update_fetch_positions",
        "self assignment node_id tps",
        functools.partial(_tell_what_is_lost, on_lost),
    )


def _seek_everything(original: Any) -> Any:
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


def _note_position(original: Any) -> Any:
    """Remember the position of a partition at which Kafka has no records any more."""

    @functools.wraps(original)
    async def fetch(self: Any, assignment: Any, node_id: Any, request: Any) -> Any:
        result = await original(self, assignment, node_id, request)
        for topic, partitions in request.topics if assignment.active else ():
            for partition, offset, _ in partitions:
                state = assignment.state_value(TopicPartition(topic, partition))
                if state is not None and state.awaiting_reset:
                    state.boom_gone_from = offset
        return result

    return fetch


def _tell_what_is_lost(on_lost: OnLost, original: Any) -> Any:
    told: dict[Any, int] = {}  # a partition may be sought to what is gone more than once

    @functools.wraps(original)
    async def update(self: Any, assignment: Any, node_id: Any, tps: Any) -> Any:
        result = await original(self, assignment, node_id, tps)
        for tp in tps:
            state = assignment.state_value(tp)
            first = getattr(state, "boom_gone_from", None)
            if first is not None and state.has_valid_position:
                state.boom_gone_from = None
                if state.position > max(first, told.get(tp, 0)):
                    told[tp] = state.position
                    log.error(
                        "Kafka deleted %d records of %s, partition %d, before they were read: offsets %d to %d",
                        state.position - first,
                        tp.topic,
                        tp.partition,
                        first,
                        state.position - 1,
                    )
                    on_lost(tp.topic, tp.partition, first, state.position)
        return result

    return update
