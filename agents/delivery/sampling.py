"""The sampling switch: some of the records that a stage sends are checked against their description in the schema."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from boom_streams.agents.delivery.batch import Process, Result, Work
from boom_streams.schema import records

__all__ = ["sampled"]

log = logging.getLogger(__name__)


def sampled(process: Process, stage: str, share: float, note: Callable[[str, str], None]) -> Process:
    """Have a stage check a share of its records; what does not fit is told, and goes its way all the same.

    Parameters
    ----------
    process
        What the stage does.
    stage
        Its name.
    share
        Of the records between stages that it sends; 0: nothing is checked, and nothing costs anything.
    note
        Told of each record that does not fit: the stage, and what is wrong.
    """
    if not share:
        return process

    def checked(work: Work) -> list[Result]:
        results = process(work)
        for send in (send for result in results for send in result.sends):
            kind = send.topic.rpartition(".")[2]
            if kind in records.MODELS and random.random() < share:
                value = b"".join(send.value) if isinstance(send.value, tuple) else send.value or b""
                if problem := records.problem(kind, value):
                    log.error("%s: a record for %s does not fit its schema: %s", stage, send.topic, problem)
                    note(stage, problem)
        return results

    return checked
