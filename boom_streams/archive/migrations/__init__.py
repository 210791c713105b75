"""Steps that bring an archive from the formats of earlier releases to today's: `boom-streams migrate`.

A step brings the collections of one kind from a version of their format to the next, and ``formats`` says that it was
done. A step that was cut off goes on where it stood: it finds what is left by itself. The next step is a module
here, ``stepNNNN_…``, with a line in `STEPS`, and a new version in `boom_streams.schema.formats`; light curves whose
columns have changed need none, as the archive names each field.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.database import Database

from boom_streams import names
from boom_streams.archive import formats
from boom_streams.archive.migrations import step0001_matches_by_programme as step0001
from boom_streams.astro import times

__all__ = ["STEPS", "Progress", "Step", "Task", "migrate", "plan"]

#: Told how many documents of a task are done, and how many there are.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a format.

    Attributes
    ----------
    number
        Its place among the steps, for ever.
    kind
        Kind of the collections that it changes: ``alerts_aux`` is each survey's.
    version
        Version of their format that it leads to, from the one before.
    title
        What it does, for a person.
    count
        Counts the documents that are left to be changed.
    run
        Changes them, and tells how many it has done since the last time that it told; it can be cut off at any time and
        run again.
    """

    number: int
    kind: str
    version: int
    title: str
    count: Callable[[Database[dict[str, Any]], formats.Kept], int]
    run: Callable[[Database[dict[str, Any]], formats.Kept, Callable[[int], None]], None]


STEPS: Sequence[Step] = (Step(1, "alerts_aux", 2, step0001.TITLE, step0001.count, step0001.run),)


@dataclass(frozen=True, slots=True)
class Task:
    """A step that is to be done with a collection; without a step only what ``formats`` says changes."""

    collection: formats.Kept
    step: Step | None
    left: int

    def __str__(self) -> str:
        """Say what is to be done."""
        if self.step is None:
            return f"{self.collection.name}: say that its light curves have the columns of this release"
        return f"{self.collection.name}: step {self.step.number}, {self.step.title} ({self.left} documents)"


def plan(database: Database[dict[str, Any]], surveys: Iterable[str]) -> list[Task]:
    """What is to be done before this release may use the archive; nothing is changed.

    Raises
    ------
    FormatError
        If a newer release wrote it.
    """
    there = formats.found(database, surveys)
    formats.refuse_newer(database, there)
    tasks = []
    for each, said in there.items():
        if not formats.is_older(each, said):
            continue
        steps = [step for step in STEPS if step.kind == each.kind and said["version"] < step.version <= each.version]
        tasks += [Task(each, step, step.count(database, each)) for step in steps] or [Task(each, None, 0)]
    return tasks


def migrate(
    database: Database[dict[str, Any]], surveys: Iterable[str], progress: Progress = lambda *_: None
) -> list[Task]:
    """Bring the archive to the formats of this release; no worker may run. Return what was done."""
    done = plan(database, surveys)
    for task in done:
        _run(database, task, progress)
    formats.state(database, surveys)
    return done


def _run(database: Database[dict[str, Any]], task: Task, progress: Progress) -> None:
    collection, step = task.collection, task.step
    said = {name: value for name, value in collection.document().items() if name != "_id"}
    update: dict[str, Any] = {"$set": said}
    if step is not None:
        label, made = f"step {step.number}, {collection.name}", 0

        def told(count: int) -> None:
            nonlocal made
            made += count
            progress(label, made, task.left)

        step.run(database, collection, told)
        said["version"] = step.version
        update["$push"] = {"steps": {"step": step.number, "title": step.title, "done_at": _now()}}
    database[names.FORMATS].update_one({"_id": collection.name}, update, upsert=True)


def _now() -> float:
    return times.julian_date(time.time() * 1000)
