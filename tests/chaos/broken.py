"""A worker with a slow spot, or with one piece of the delivery guarantee missing there: the test must find it out.

    python -m tests.chaos.broken MODE worker -l warn …

Each mode widens the moment in which the missing piece matters, so that few faults are enough to hit it; ``slow-…`` are
the controls, as slow and not broken, and must pass.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["MODES", "Mode"]

Mode = str

#: Longer than a commit interval and a half, so that what was acknowledged is committed.
_PAUSE = 1.2

#: A seek that takes so long lets records arrive before it, unless the flow is stopped.
_SEEK = 1.0

#: A record that takes so long leaves others in Faust's queue behind it, which is cleared after the seek.
_STEP = 0.01


def _slow_sending() -> None:
    """Changelogs and outputs are sent some time after a batch is done."""
    from boom_streams.agents.delivery.output import Output

    _before(Output, "send")


def _acknowledge_first() -> None:
    """Records are acknowledged, and committed, before their output is sent."""
    from boom_streams.agents.delivery.loop import Delivery

    finish = Delivery._finish

    class _Acknowledged:
        async def ack(self, event: Any) -> None:
            """Do nothing: it has been done."""

    async def broken(self: Any, stream: Any, work: Any, *rest: Any) -> None:
        for record in work.records:
            await stream.ack(record.event)
        await finish(self, _Acknowledged(), work, *rest)

    setattr(Delivery, "_finish", broken)  # noqa: B010


def _slow_seek() -> None:
    """The seek after a recovery takes its time, and each batch some."""
    from faust.transport.drivers.aiokafka import Consumer

    from boom_streams.agents.delivery.batch import Inbox

    _before(Consumer, "perform_seek", _SEEK)
    _before(Inbox, "put", _STEP)


def _no_recovery_patch() -> None:
    """Records flow between a recovery and its seek, as Faust has it."""
    from faust.tables.recovery import Recovery

    from boom_streams.agents.faust_fixes import recovery

    recovery.install()
    for name in ("on_recovery_completed", "_resume_streams"):
        setattr(Recovery, name, getattr(Recovery, name).__wrapped__)
    setattr(recovery, "_stop_flow_first", lambda original: original)  # noqa: B010


def _table_first() -> None:
    """RocksDB is written before the changelog, and a value that it has already is not written again."""
    from boom_streams.agents.delivery.loop import Delivery
    from boom_streams.tables.store import View

    put, write = View.put, Delivery._write

    def broken_put(self: View, key: bytes, value: bytes) -> None:
        if self.get(key) != value:
            put(self, key, value)

    async def broken_write(self: Any, work: Any, generation: int) -> None:
        for (name, partition), writes in work.writes.items():
            self.tables[name].apply(partition, writes, -1)
        await write(self, work, generation)

    setattr(View, "put", broken_put)  # noqa: B010
    setattr(Delivery, "_write", broken_write)  # noqa: B010


def _before(owner: type, name: str, seconds: float = _PAUSE) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    async def late(*arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(seconds)
        return await original(*arguments, **options)

    setattr(owner, name, late)


#: What is done to a worker in each mode.
MODES: dict[Mode, tuple[Callable[[], None], ...]] = {
    "slow-sending": (_slow_sending,),
    "ack-first": (_slow_sending, _acknowledge_first),
    "table-first": (_slow_sending, _table_first),
    "slow-recovery": (_slow_seek,),
    "no-recovery-patch": (_slow_seek, _no_recovery_patch),
}


def main() -> None:
    """Run a worker in the mode that the first argument names; the others are Faust's."""
    for change in MODES[sys.argv[1]]:
        change()
    from faust.cli.faust import cli

    sys.argv = ["faust", "-A", "boom_streams", *sys.argv[2:]]
    cli()


if __name__ == "__main__":
    main()
