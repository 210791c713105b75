"""Sinks: persist to MongoDB what each stage adds. They compute nothing and send nothing but dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from boom_streams.agents.delivery.loop import Process, Result, Work
from boom_streams.archive import Archive, mongo
from boom_streams.errors import BadRecord
from boom_streams.settings import Settings

__all__ = ["make_classified", "make_enriched", "make_filtered"]

_Write = Callable[[Sequence[bytes]], Sequence[BadRecord | None] | None]


def make_enriched(settings: Settings) -> Process:
    """Sink of ``enriched``: alerts and their cutouts."""
    return _sink(lambda: _archive(settings).write_enriched)


def make_classified(settings: Settings) -> Process:
    """Sink of ``classified``: properties, scores; light curves and matches of objects."""
    return _sink(lambda: _archive(settings).write_classified)


def make_filtered(settings: Settings) -> Process:
    """Sink of ``filtered``: which alert passed which filter."""
    return _sink(lambda: _archive(settings).write_matches)


def _archive(settings: Settings) -> Archive:
    return Archive(mongo.database(settings), settings.surveys)


def _sink(make_write: Callable[[], _Write]) -> Process:
    writers: list[_Write] = []

    def process(work: Work) -> list[Result]:
        if not writers:
            writers.append(make_write())
        problems = writers[0]([record.value for record in work.records])
        if problems is None:
            return [Result() for _ in work.records]
        return [Result(dead=str(problem)) if problem else Result() for problem in problems]

    return process
