"""Names in a pipeline that no alert of its survey has: mistyped, most likely. They are told, not refused."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from boom_streams.filters.language.paths import inputs, reads, sets
from boom_streams.filters.language.validate import Stage
from boom_streams.surveys import Survey

__all__ = ["unknown_fields"]

#: What the statistics of light curves add to an alert's properties.
_STATISTICS = ("stationary", "photstats")

#: Stages that make a document of others, so that its fields are not known.
_MADE_ANEW = ("$replaceRoot", "$replaceWith")


def unknown_fields(pipeline: Sequence[Stage], survey: Survey) -> list[str]:
    """Say of each field that a validated pipeline reads, and no alert has, which there are."""
    if any(name in stage for stage in pipeline for name in _MADE_ANEW):
        return []
    own = sets(pipeline)
    read = {tuple(part for part in path if part) for path in reads(pipeline)}
    found = {}
    for path in sorted(read):
        if any(path[: len(one)] == one[: len(path)] for one in own):
            continue
        top = {"_id", "annotations", *inputs(survey)}
        within = _within(survey, path[0]) if path else None
        if path and path[0] not in top:
            found[path[0]] = f"{path[0]}: no alert of {survey.name} has it; known are {_listed(top)}"
        elif len(path) > 1 and within and path[1] not in within:
            name = ".".join(path[:2])
            found[name] = f"{name}: no alert of {survey.name} has it; known are {_listed(within)}"
    return list(found.values())


def _within(survey: Survey, name: str) -> Collection[str] | None:
    """Fields below a top-level one; None where they are not known."""
    if name == "candidate":
        return {*survey.documentation, "jd", "ra", "dec", "band"} if survey.documentation else None
    if name in survey.series:
        return survey.series[name].fields
    known = name == "properties" and survey.properties
    return {*survey.properties, *_STATISTICS} if known else None


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
