"""A topology as a value: stages, what they read, write and remember. Drawn for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Stage", "to_mermaid"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One agent: a verb, its source topic and what comes out of it."""

    name: str
    role: str
    source: str
    outputs: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    key: str = "object"


def to_mermaid(survey: str, stages: Sequence[Stage]) -> str:
    """Draw the stages of a survey as a Mermaid flowchart."""
    lines = ["flowchart LR", f"  replay([replay]) --> {survey}.raw[/{survey}.raw/]"]
    for stage in stages:
        node = f"{stage.name}({stage.name})"
        lines.append(f"  {survey}.{stage.source}[/{survey}.{stage.source}/] -- by {stage.key} --> {node}")
        for output in stage.outputs:
            topic = output if output.startswith("filtered.") else f"{survey}.{output}"
            lines.append(f"  {stage.name} --> {topic.replace('<name>', 'NAME')}[/{topic.replace('<name>', 'NAME')}/]")
        lines += [f"  {stage.name} <--> {table}[({table})]" for table in stage.tables]
        lines += [f"  {stage.name} --> {name}[({survey.upper()}_{name})]" for name in stage.collections]
    return "\n".join(lines) + "\n"
