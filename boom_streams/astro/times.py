"""Times: Julian dates."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["MJD_EPOCH", "UNIX_EPOCH", "iso", "julian_date", "unix_ms"]

#: Julian date of 1970-01-01 00:00 (UTC).
UNIX_EPOCH = 2_440_587.5
#: Julian date at which modified Julian dates begin.
MJD_EPOCH = 2_400_000.5

_DAY_MS = 86_400_000.0


def julian_date(timestamp_ms: float) -> float:
    """Julian date (UTC) of a record timestamp in milliseconds since 1970."""
    return timestamp_ms / _DAY_MS + UNIX_EPOCH


def unix_ms(jd: float) -> float:
    """Milliseconds since 1970 of a Julian date (UTC), to 0.04, which is what a Julian date can hold."""
    return (jd - UNIX_EPOCH) * _DAY_MS


def iso(jd: float) -> str:
    """A Julian date (UTC) as an ISO text to the second, or the number where it is no time of people's calendars."""
    try:
        return datetime.fromtimestamp(unix_ms(jd) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(jd)
