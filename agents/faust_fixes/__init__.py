"""What is mended of Faust and its libraries: a module a kind, each mend with what it is for and what it needs.

* `recovery`: records that Faust drops after a recovery
* `seek`: partitions that it does not seek, and offsets that are not there any more
* `fetching`: records that nobody asked for: aborted, too large, unreadable
* `intake`: memory and time that records take on their way to a stage
* `monitor`: warnings that are not true

Tables have two more, in `boom_streams.tables.store`: options that RocksDB forgets, and the rule for recovery.
"""

from __future__ import annotations

from boom_streams.agents.faust_fixes import fetching, intake, monitor, recovery, seek
from boom_streams.agents.faust_fixes.seek import OnLost

__all__ = ["install"]


def install(on_lost: OnLost, pause: float) -> None:
    """Put every mend in its place, once a process.

    Parameters
    ----------
    on_lost
        Called, in whatever thread, when records were deleted before they were read.
    pause
        Seconds between an answer of Kafka with records and the next request for some.

    Raises
    ------
    ServiceError
        If what a mend is for has changed; names it.
    """
    recovery.install()
    seek.install(on_lost)
    fetching.install()
    intake.install(pause)
    monitor.install()
