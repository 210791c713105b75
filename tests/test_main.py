"""The worker around the stages."""

from __future__ import annotations

import logging

import faust

from boom_streams.main import BoomWorker


def test_a_worker_makes_no_debug_messages_that_nobody_reads() -> None:
    root = logging.Logger("root")
    root.addHandler(logging.NullHandler())
    BoomWorker(faust.App("quiet"), loglevel="warn").on_setup_root_logger(root, logging.WARNING)
    assert root.isEnabledFor(logging.WARNING)
    assert not root.isEnabledFor(logging.DEBUG)
