"""Made-up packets of every survey: containers of one alert each, in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from boom_streams.surveys import Survey, get_survey, known_surveys
from boom_streams.synthetic import make_night
from tests.contracts import mayfly
from tests.contracts.mayfly.packets import night

__all__ = ["SURVEYS", "samples"]

#: Every survey that there is, and one that there is not.
SURVEYS: list[Survey] = [*(get_survey(name) for name in known_surveys()), mayfly.SURVEY]


def _ztf() -> list[bytes]:
    with TemporaryDirectory() as folder:
        make_night(Path(folder) / "night", 40, seed=5)
        return [file.read_bytes() for file in sorted((Path(folder) / "night").glob("*.avro"))]


#: A survey's packets; who adds a survey adds a line.
_MAKERS: Mapping[str, Callable[[], list[bytes]]] = {"ZTF": _ztf, "MAYFLY": night}


@cache
def samples(survey: str) -> tuple[bytes, ...]:
    """Packets of a survey, some of them of the same object."""
    return tuple(_MAKERS[survey]())
