"""Progress bars."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

    from boom_streams.ingest.download import Progress as DownloadProgress
    from boom_streams.ingest.replay import Counts

__all__ = ["bar", "count_bar", "download_bar", "steps"]


@contextmanager
def bar(shown: bool = True) -> Iterator[Callable[[Counts], None]]:
    """Show a bar of the bytes read and the alerts written on stderr, if that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda counts: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    share, text = TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[text]}")
    columns = ("replay", BarColumn(), share, text, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task("replay", total=None, text="")
        shown_at = 0.0

        def update(counts: Counts) -> None:
            nonlocal shown_at
            now = time.monotonic()
            if now - shown_at < 0.1 and counts.consumed < counts.total:
                return
            shown_at = now
            text = f"{counts.alerts} alerts, {counts.per_second:.0f}/s"
            display.update(task, completed=counts.consumed, total=counts.total, text=text)

        yield update


@contextmanager
def download_bar(what: str, shown: bool = True) -> Iterator[DownloadProgress]:
    """Show a bar of the bytes downloaded on stderr, if that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(what, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)


@contextmanager
def count_bar(what: str, total: int, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a bar of how many of a known number are done on stderr, if that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(what, total=total)
        yield lambda done: display.update(task, completed=done)


@contextmanager
def steps(title: str, shown: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar of the step that is being done on stderr, if that is a terminal: its name, done, total."""
    if not shown or not sys.stderr.isatty():
        yield lambda step, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    share = TextColumn("{task.percentage:>3.0f} %")
    columns = (TextColumn("{task.description}"), BarColumn(), share, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as display:
        tasks: dict[str, TaskID] = {}
        shown_at = 0.0

        def update(step: str, done: int, total: int) -> None:
            nonlocal shown_at
            now = time.monotonic()
            if step in tasks and now - shown_at < 0.1 and done < total:
                return
            shown_at = now
            if step not in tasks:
                tasks[step] = display.add_task(f"{title}: {step}", total=total)
            display.update(tasks[step], completed=done, total=total)

        yield update
