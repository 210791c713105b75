"""A starting point for the description of a catalogue, from its file."""

from __future__ import annotations

import json

from boom_streams.catalogs.columns import guess_id, guess_position
from boom_streams.catalogs.reader import Source

__all__ = ["starting_point"]

_TEXT = """\
# How alerts are matched with {name}, and how its file is read.
about = ""
# Surveys whose alerts are matched with it; an empty list: all.
surveys = []
# Search radius, arcsec; at most a fifth of a tile.
radius = 2.0
# "nearest"; or "distance" for galaxies with a redshift, which needs distance_key, distance_max and distance_max_near.
mode = "nearest"
# Columns that a match shows beside _id, ra and dec; an empty list shows all.
projection = []
# Size of the tiles: 9 is 7 arcmin, 8 is 14 arcmin, … A tile should hold some tens to some hundreds of sources.
order = 9

{position}
{identity}

# Columns of {file}:
{columns}
"""

_NO_POSITION = """\
# No columns look like a position; name those with right ascension and declination, decimal degrees.
# ra = ""
# dec = \"\""""


def starting_point(name: str, source: Source) -> str:
    """Text of a description: guessed columns, defaults, and in comments what can be chosen."""
    position, identity = guess_position(source), guess_id(source)
    columns = (f"#   {column.name}: {column.type}{_about(source, column.name)}" for column in source.schema)
    return _TEXT.format(
        name=name,
        file=source.path.name,
        position=_NO_POSITION if position is None else "# Position, decimal degrees.\n" + _named(position),
        identity=(
            '# No column looks like an identifier; sources are numbered by their rows.\n# id = ""'
            if identity is None
            else f"# Tells sources apart.\nid = {json.dumps(identity)}"
        ),
        columns="\n".join(columns),
    )


def _named(position: tuple[str, str]) -> str:
    return "\n".join(f"{what} = {json.dumps(name)}" for what, name in zip(("ra", "dec"), position, strict=True))


def _about(source: Source, name: str) -> str:
    about = source.metadata.get(name, {})
    return "".join(f", {key} {value}" for key, value in about.items())
