"""Made-up nights for where no real ones are: files as the real ones have them, broken ones among them."""

from __future__ import annotations

import io
from pathlib import Path

import fastavro

from boom_streams.synthetic.versions import VERSIONS, alert_schema, in_version
from boom_streams.testing import sample_packets

__all__ = ["ALERTS", "broken", "every_version", "night", "truncated"]

#: Alerts of a night that stands for the real one of this name; the nights have no alert in common.
ALERTS = {"20200202": 12, "20211121_snappy": 110, "20231012": 24, "20231018": 200}
_ALL = sum(ALERTS.values()) + len(VERSIONS) + 3


def night(folder: Path, name: str) -> Path:
    """A night under the name of a real one."""
    before = sum(ALERTS[other] for other in ALERTS if other < name)
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number, packet in enumerate(sample_packets("ZTF", _ALL)[before : before + ALERTS[name]]):
        (folder / name / f"{number:03}.avro").write_bytes(packet)
    return folder / name


def every_version(folder: Path) -> int:
    """Write an alert in every schema version; return how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    for packet, version in zip(_others(), VERSIONS, strict=False):
        (folder / f"{version}.avro").write_bytes(in_version(packet, version))
    return len(VERSIONS)


def broken(folder: Path) -> Path:
    """Write a file whose header cannot be read."""
    path = folder / "300.avro"
    path.write_bytes(_others()[-3].replace(b'"fields"', b'"folds!"'))
    return path


def truncated(folder: Path) -> Path:
    """Write a file that ends in its second alert, named by the candid of the first."""
    packets = [record for data in _others()[-2:] for record in fastavro.reader(io.BytesIO(data))]
    first, whole = io.BytesIO(), io.BytesIO()
    fastavro.writer(first, alert_schema(VERSIONS[-1]), packets[:1], sync_interval=1)
    fastavro.writer(whole, alert_schema(VERSIONS[-1]), packets, sync_interval=1)
    assert isinstance(packets[0], dict)
    path = folder / f"{packets[0]['candid']}.avro"
    path.write_bytes(whole.getvalue()[: len(first.getvalue()) + 1000])
    return path


def _others() -> list[bytes]:
    """Packets of no night."""
    return sample_packets("ZTF", _ALL)[sum(ALERTS.values()) :]
