"""A topology as a value: stages, what they read, write and remember. Drawn for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["OF_SURVEY", "Stage", "to_mermaid"]

#: What the name of a collection begins with of which each survey has one.
OF_SURVEY = "<SURVEY>_"


@dataclass(frozen=True, slots=True)
class Stage:
    """One agent, and all that the rest of the house has to know of it.

    Attributes
    ----------
    name
        A verb.
    role
        Which workers run it.
    maker
        Module in ``agents/`` and its function that makes what the stage does; loaded only where it runs.
    source
        Topic (of each survey) that it reads.
    outputs
        Topics that it writes; ``filtered.<name>`` is one of each filter.
    tables
        Tables that it owns, each with a changelog.
    reads, writes
        Collections of the archive; ``<SURVEY>_alerts`` is one of each survey.
    without_archive
        It starts, and goes on, while MongoDB is away.
    cpu_ms
        What an alert costs it, CPU milliseconds: workers are divided by it.
    key
        What its source is keyed by.
    gathers
        Its batches wait for more records; what they make comes together, and need not be waited for again.
    """

    name: str
    role: str
    maker: tuple[str, str]
    source: str
    outputs: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    without_archive: bool = False
    cpu_ms: float = 1.0
    key: str = "object"
    gathers: bool = False

    @property
    def collections(self) -> tuple[str, ...]:
        """Those that it writes of which each survey has one: ``alerts`` is ``ZTF_alerts``."""
        return tuple(name.removeprefix(OF_SURVEY) for name in self.writes if name.startswith(OF_SURVEY))


def to_mermaid(survey: str, stages: Sequence[Stage]) -> str:
    """Draw the stages of a survey as a Mermaid flowchart."""
    lines = ["flowchart LR", f"  replay([replay]) --> {_topic(survey, 'raw')}"]
    for stage in stages:
        lines.append(f"  {_topic(survey, stage.source)} -- by {stage.key} --> {stage.name}({stage.name})")
        lines += [f"  {stage.name} --> {_topic(survey, output)}" for output in stage.outputs]
        lines += [f"  {stage.name} <--> {table}[({table})]" for table in stage.tables]
        lines += [f"  {_collection(survey, name)} -.-> {stage.name}" for name in stage.reads]
        lines += [f"  {stage.name} --> {_collection(survey, name)}" for name in stage.writes]
    return "\n".join(lines) + "\n"


def _topic(survey: str, name: str) -> str:
    topic = name.replace("<name>", "NAME") if name.startswith("filtered.") else f"{survey}.{name}"
    return f"{topic}[/{topic}/]"


def _collection(survey: str, name: str) -> str:
    return f"{name.removeprefix(OF_SURVEY)}[({name.replace(OF_SURVEY, survey.upper() + '_')})]"
