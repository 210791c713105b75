"""Faust's watch over its streams says nothing: what it says of a changelog is never true."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from boom_streams.agents.faust_fixes import monitor

CHANGELOG = TP("boom.cells.changelog", 0)


class Thread:
    """What Faust's watch looks at, of a changelog that was read to somewhere when a recovery ended."""

    tp_fetch_request_timeout_secs = tp_stream_timeout_secs = tp_commit_timeout_secs = 300.0
    _verify_aiokafka_event_path = AIOKafkaConsumerThread._verify_aiokafka_event_path
    _log_slow_processing_stream = AIOKafkaConsumerThread._log_slow_processing_stream
    _log_slow_processing = AIOKafkaConsumerThread._log_slow_processing
    _make_slow_processing_error = AIOKafkaConsumerThread._make_slow_processing_error

    def __init__(self, timestamp: int | None) -> None:
        self.said: list[str] = []
        self.log = SimpleNamespace(error=lambda text, *_: self.said.append(text))
        self.time_started = time.monotonic() - 600
        state = SimpleNamespace(timestamp=timestamp, highwater=40, position=20)
        assignment = SimpleNamespace(active=True, state_value=lambda tp: state)
        subscriptions = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        self.client = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=subscriptions))
        conf = SimpleNamespace(stream_processing_timeout=300.0)
        topics = SimpleNamespace(acks_enabled_for=lambda topic: True)
        app = SimpleNamespace(monitor=monitor.IdleMonitor(), topics=topics, conf=conf)
        self.consumer = SimpleNamespace(app=app)

    def _ensure_consumer(self) -> Any:
        return self.client


@pytest.mark.parametrize("fetched", [False, True])
def test_nothing_is_said_of_a_changelog(fetched: bool) -> None:
    monitor.install()
    mended: Any = AIOKafkaConsumerThread.verify_event_path
    thread = Thread(int(time.time() * 1000) if fetched else None)
    mended(thread, time.monotonic(), CHANGELOG)
    assert thread.said == []
    mended.__mends__(thread, time.monotonic(), CHANGELOG)
    assert len(thread.said) == 1, "Faust as it is says something"
