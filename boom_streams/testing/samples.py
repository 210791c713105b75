"""Made-up alerts of every survey."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from boom_streams.errors import BoomError
from boom_streams.surveys import Alert, Survey, get_survey
from boom_streams.synthetic import make_night
from boom_streams.synthetic.versions import VERSIONS, in_version

__all__ = ["sample_alert", "sample_alerts", "sample_packets", "versions"]


def versions(survey: str | Survey = "ZTF") -> tuple[str, ...]:
    """Schema versions in which there are samples of a survey, the earliest first; empty: it has no versions."""
    return VERSIONS if _adapter(survey).name == "ZTF" else ()


def sample_packets(survey: str | Survey = "ZTF", count: int = 40, seed: int = 5, *, version: str = "") -> list[bytes]:
    """Make packets of a survey, one alert each, in the order of their candids; some are of the same object.

    Parameters
    ----------
    survey
        The survey, or its name. One that is not part of this package makes its own: see `Survey.samples`.
    count
        How many.
    seed
        Another seed, other alerts; the same seed gives the same bytes.
    version
        One of `versions`; the newest unless it is given.

    Raises
    ------
    BoomError
        If there are no samples of the survey, or none of this version.
    """
    adapter = _adapter(survey)
    if version and version not in versions(survey):
        raise BoomError(f"there are no samples of {adapter.name} in schema version {version!r}")
    if adapter.name != "ZTF":
        made = adapter.samples(count, seed)
        if not made:
            raise BoomError(f"{adapter.name} has no samples: its `samples` makes none")
        return made
    packets = _night(count, seed)
    return [in_version(packet, version) for packet in packets] if version else list(packets)


def sample_alerts(survey: str | Survey = "ZTF", count: int = 40, seed: int = 5, *, version: str = "") -> list[Alert]:
    """Decode what `sample_packets` makes; its errors are those of `sample_packets`."""
    alerts = []
    for alert in _adapter(survey).decode(sample_packets(survey, count, seed, version=version)):
        if not isinstance(alert, Alert):
            raise alert
        alerts.append(alert)
    return alerts


def sample_alert(survey: str | Survey = "ZTF", seed: int = 5) -> Alert:
    """One made-up alert, decoded."""
    return sample_alerts(survey, 1, seed)[0]


def _adapter(survey: str | Survey) -> Survey:
    return survey if isinstance(survey, Survey) else get_survey(survey)


@cache
def _night(count: int, seed: int) -> tuple[bytes, ...]:
    with TemporaryDirectory() as folder:
        night = Path(folder) / "night"
        make_night(night, count, seed)
        return tuple(file.read_bytes() for file in sorted(night.glob("*.avro")))
