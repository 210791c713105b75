"""What a mend is made for: it is not put where its target has changed, it says so and nothing starts.

A mend reaches into another project's code. When that has another version, the mend may do nothing, or harm: so each
names the distribution, the version it was made for, and the functions it reaches for with their parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

from boom_streams.errors import ServiceError

__all__ = ["VERSIONS", "has", "mend", "unmended"]

#: Versions that the mends were made for, and proven with.
VERSIONS = {
    "faust-streaming": "0.15.3",
    "mode-streaming": "0.7.1",
    "aiokafka": "0.14.0",
    "rocksdict": "0.3.29",
}


@cache
def _made_for(distribution: str, version: str) -> None:
    found = metadata.version(distribution)
    if found != version:
        raise ServiceError(
            f"{distribution} {found} is installed, and what is mended of it was made for {version}: "
            f"pip install '{distribution}=={version}', or see agents/faust_fixes"
        )


def has(distribution: str, owner: Any, name: str, parameters: str | None = None) -> None:
    """Make sure that a class or module has what a mend is for.

    Parameters
    ----------
    distribution
        Whose it is.
    owner, name
        Class or module, and the name in it.
    parameters
        Names of the function's parameters, as ``self generation_id``; None: it is no function, or a compiled one.

    Raises
    ------
    ServiceError
        If it is not there, has other parameters, or the distribution has another version.
    """
    _made_for(distribution, VERSIONS[distribution])
    where = f"{getattr(owner, '__module__', '')}.{owner.__qualname__}" if isinstance(owner, type) else owner.__name__
    found = unmended(getattr(owner, name, None))
    if found is None:
        raise ServiceError(f"{where} of {distribution} has no {name}, which is mended here: see agents/faust_fixes")
    if parameters is not None and (names := " ".join(inspect.signature(found).parameters)) != parameters:
        raise ServiceError(
            f"{where}.{name} of {distribution} has the parameters ({names}); what mends it was made for ({parameters})"
        )


def mend(distribution: str, owner: Any, name: str, parameters: str | None, make: Callable[[Any], Any]) -> None:
    """Replace a function by what ``make`` makes of it, once, if it is the one that the mend was made for.

    Several mends of one function stand on each other.
    """
    has(distribution, owner, name, parameters)
    original = getattr(owner, name)
    maker = getattr(make, "func", make)
    label = f"{maker.__module__}.{maker.__qualname__}"
    before: tuple[str, ...] = getattr(original, "__makers__", ())
    if label not in before:
        made = make(original)
        made.__mends__ = original
        made.__makers__ = (*before, label)
        setattr(owner, name, made)


def unmended(found: Any) -> Any:
    """A function as it was before it was mended."""
    while hasattr(found, "__mends__"):
        found = found.__mends__
    return found
