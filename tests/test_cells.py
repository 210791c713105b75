"""Table ``cells``: a crash between RocksDB and the changelog, and what a redelivery puts right."""

from __future__ import annotations

import pytest

from boom_streams import sky
from boom_streams.tables import cells
from boom_streams.tables.store import View

RA, DEC = 150.0, 2.0


class Disk:
    """One partition of a table and its changelog; a crash keeps what was written last from the changelog."""

    def __init__(self) -> None:
        self.table: dict[bytes, bytes] = {}
        self.changelog: list[tuple[bytes, bytes]] = []

    def record(self, *detections: tuple[int, float, float], sent: int | None = None) -> None:
        """Record detections of one object; of what is written the first ``sent`` are in the changelog."""
        writes: dict[bytes, tuple[int, bytes]] = {}
        view = View(self.table.get, writes, 0, 0)
        cells.record([cells.Sighting(view, "ZTF", "a", n, 2460000.5 + n, ra, dec) for n, ra, dec in detections])
        self.table |= {key: value for key, (_, value) in writes.items()}
        self.changelog += [(key, value) for key, (_, value) in writes.items()][:sent]

    def rebuilt(self) -> dict[bytes, bytes]:
        return dict(self.changelog)


def edge() -> tuple[float, float, float]:
    """Right ascensions on both sides of a cell's edge, whose mean lies beyond it, and the declination."""
    step = 0.2 / 3600
    ra = RA
    own = sky.cells([ra], [DEC], cells.NSIDE)[0]
    while sky.cells([ra + step], [DEC], cells.NSIDE)[0] == own:
        ra += step
    return ra, ra + 2 * step, DEC


def where(table: dict[bytes, bytes]) -> dict[bytes, list[int]]:
    """Candids of the object's detections, by the cells that hold it."""
    found = {key: cells.objects_in(value).get(("ZTF", "a")) for key, value in table.items()}
    return {key: detections["candid"].tolist() for key, detections in found.items() if detections is not None}


def moves() -> tuple[tuple[int, float, float], tuple[int, float, float]]:
    before, after, dec = edge()
    return (1, before, dec), (2, after, dec)


def test_an_object_whose_position_moves_changes_its_cell() -> None:
    disk, (first, second) = Disk(), moves()
    disk.record(first)
    (before,) = where(disk.table)
    disk.record(second)
    assert list(where(disk.table).values()) == [[1, 2]]
    assert before not in where(disk.table)
    assert disk.rebuilt() == disk.table


@pytest.mark.parametrize("sent", [0, 1])
def test_a_move_that_was_lost_from_the_changelog_is_written_again(sent: int) -> None:
    disk, (first, second) = Disk(), moves()
    disk.record(first)
    disk.record(second, sent=sent)
    disk.record(second)
    assert disk.rebuilt() == disk.table


def test_half_a_move_is_completed_on_another_disk() -> None:
    disk, (first, second) = Disk(), moves()
    disk.record(first)
    disk.record(second, sent=1)
    successor = Disk()
    successor.table, successor.changelog = disk.rebuilt(), list(disk.changelog)
    successor.record(second)
    assert where(successor.table) == where(disk.table)
    assert successor.rebuilt() == successor.table
