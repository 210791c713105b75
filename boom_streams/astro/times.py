"""Times: Julian dates."""

from __future__ import annotations

__all__ = ["julian_date"]


def julian_date(timestamp_ms: float) -> float:
    """Julian date (UTC) of a record timestamp in milliseconds since 1970."""
    return timestamp_ms / 86_400_000.0 + 2_440_587.5
