"""Table ``objects``: what a crash kept from the changelog is all there again after the redelivery."""

from __future__ import annotations

import numpy as np

from boom_streams import history
from boom_streams.points import Points
from boom_streams.surveys import get_survey

ZTF = get_survey("ztf")
JD = 2460000.5


class Disk:
    """RocksDB and its changelog, which a crash may have kept from learning anything."""

    def __init__(self) -> None:
        self.table: dict[bytes, bytes] = {}
        self.changelog: dict[bytes, bytes] = {}
        self.connected = True

    def get(self, key: bytes) -> bytes | None:
        return self.table.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.table[key] = value
        if self.connected:
            self.changelog[key] = value


def points(name: str, *rows: tuple[float, int]) -> Points:
    made = np.zeros(len(rows), ZTF.SERIES[name])
    made["jd"], made["fid"], made["programid"] = [jd for jd, _ in rows], 1, 1
    if "candid" in (made.dtype.names or ()):
        made["candid"] = [candid for _, candid in rows]
    return made


def arrival(candid: int, jd: float) -> history.Arrival:
    series = {"prv_candidates": points("prv_candidates", (jd - 1, candid + 1000), (jd, candid))}
    return history.Arrival(ZTF, "a", candid, jd, 1, series, history_start=jd - 300)


def test_restored_history_is_written_again_with_its_alert() -> None:
    disk = Disk()
    disk.connected = False
    past = {"prv_candidates": points("prv_candidates", (JD - 200, 7), (JD - 100, 8))}
    history.restore(disk, ZTF, "a", past, {7: 1, 8: 2}, 2)
    first = history.admit(disk, arrival(1, JD))
    disk.connected = True
    again = history.admit(disk, arrival(1, JD))
    assert again.repeated
    assert again.revision == first.revision == 3
    assert disk.changelog == disk.table
