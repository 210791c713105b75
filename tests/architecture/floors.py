"""The floors of the house, and what stands between its rooms: tested here, drawn in ``docs/architecture.md``."""

from __future__ import annotations

from tests.architecture.sources import imported, modules, parse

__all__ = ["FLOORS", "floor", "needed", "room"]

#: From the ground up; a module imports only from its own floor and those below.
FLOORS = (
    ("errors", "names", "topologies"),
    ("avro", "astro"),
    ("settings", "surveys", "kafka", "services"),
    ("lightcurves", "publish", "schema"),
    ("archive", "ingest"),
    ("filters", "crossmatch", "access", "models"),
    ("catalogs", "synthetic"),
    ("tables", "operate"),
    ("agents",),
    ("main", "demo"),
    ("page",),
    ("cli", "api", "web", "testing"),
)


def room(module: str) -> str:
    """First name below the package: a folder, or a module that lies loose."""
    return [*module.split("."), ""][1]


def floor(module: str) -> int:
    """Number of the floor of a module; the package itself is below all."""
    return next((number for number, rooms in enumerate(FLOORS) if room(module) in rooms), -1)


def needed() -> dict[str, set[str]]:
    """Rooms that each room imports from, without those that it reaches through another of them anyway."""
    direct: dict[str, set[str]] = {}
    for name, file in modules():
        for _, target in imported(parse(file)):
            ours = target.startswith("boom_streams.") and floor(target) >= 0
            if ours and floor(name) >= 0 and room(target) != room(name):
                direct.setdefault(room(name), set()).add(room(target))
    return {here: {there for there in rooms if not _around(direct, rooms, there)} for here, rooms in direct.items()}


def _around(direct: dict[str, set[str]], rooms: set[str], there: str) -> bool:
    """Whether a room can be reached through one of the others."""
    seen: set[str] = set()
    waiting = list(rooms - {there})
    while waiting:
        here = waiting.pop()
        if here not in seen:
            seen.add(here)
            waiting += direct.get(here, ())
    return there in seen
