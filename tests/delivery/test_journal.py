"""Which records were in hand when the process died."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boom_streams.agents.delivery import journal as module
from boom_streams.agents.delivery.journal import Journal
from boom_streams.errors import SettingsError, StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker" / "journal.json"


def opened(path: Path) -> Journal:
    journal = Journal(path)
    journal.open()
    return journal


def die(path: Path, names: list[str]) -> None:
    """A process dies with records in hand."""

    class Death(BaseException):
        pass

    async def main() -> None:
        async with opened(path).hand(names):
            raise Death

    with pytest.raises(Death):
        asyncio.run(main())


def test_a_record_at_three_deaths_is_suspect_and_alone_at_one_more_deadly(path: Path) -> None:
    for count in range(3):
        assert not opened(path).suspect("b"), count
        die(path, ["a", "b", "c"])
    journal = opened(path)
    assert all(map(journal.suspect, "abc"))
    assert not any(map(journal.deadly, "abc"))
    die(path, ["b"])
    journal = opened(path)
    assert [journal.deadly(name) for name in "abc"] == [False, True, False]
    journal.forget(["b"])
    again = opened(path)
    assert (again.suspect("b"), again.deadly("b")) == (False, False)
    assert again.suspect("a")


def test_one_that_was_alone_by_chance_is_tried_three_times(path: Path) -> None:
    for _ in range(3):
        assert not opened(path).deadly("a")
        die(path, ["a"])
    assert opened(path).suspect("a")
    assert not opened(path).deadly("a")


def test_who_was_not_alone_is_not_deadly(path: Path) -> None:
    for _ in range(6):
        die(path, ["a", "b"])
    assert not opened(path).deadly("a")


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_an_exception_or_a_stop_is_no_death(path: Path, error: type[BaseException]) -> None:
    async def main() -> None:
        async with opened(path).hand(["a"]):
            raise error

    for _ in range(4):
        with pytest.raises(error):
            asyncio.run(main())
    assert not opened(path).suspect("a")


def test_a_suspect_is_alone_in_the_process(path: Path) -> None:
    order: list[str] = []

    async def hold(journal: Journal, name: str, alone: bool, go: asyncio.Event) -> None:
        async with journal.hand([name], alone=alone):
            order.append(f"{name} in")
            await go.wait()
            order.append(f"{name} out")

    async def main() -> None:
        journal, go = opened(path), asyncio.Event()
        tasks = [asyncio.create_task(hold(journal, "first", False, go))]
        await asyncio.sleep(0)
        tasks += [
            asyncio.create_task(hold(journal, name, alone, go)) for name, alone in (("suspect", True), ("late", False))
        ]
        for _ in range(10):
            await asyncio.sleep(0)
        assert "suspect in" not in order
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    start = order.index("suspect in")
    assert order[start : start + 2] == ["suspect in", "suspect out"]
    assert len(order) == 6


def fill_disk(journal: Journal) -> int:
    """Have nothing more be written; return a descriptor of the file as it was."""
    assert journal._file is not None
    kept = os.dup(journal._file)
    os.dup2(os.open("/dev/full", os.O_RDWR), journal._file)
    return kept


def empty_disk(journal: Journal, kept: int) -> None:
    assert journal._file is not None
    os.dup2(kept, journal._file)


async def hold(journal: Journal, name: str, *, alone: bool = False, seconds: float = 0.0) -> None:
    async with journal.hand([name], alone=alone):
        await asyncio.sleep(seconds)


def test_on_a_full_disk_nothing_gets_in_hand(path: Path) -> None:
    async def main() -> None:
        journal = opened(path)
        kept = fill_disk(journal)
        with pytest.raises(StoreError, match=r"journal.json: No space left"):
            await hold(journal, "a", alone=True)
        empty_disk(journal, kept)
        async with asyncio.timeout(5):
            await hold(journal, "b")
        assert json.loads(path.read_bytes())["in_hand"] == []

    asyncio.run(main())


def test_when_the_disk_fills_up_nobody_waits_for_ever(path: Path) -> None:
    async def main() -> None:
        journal = opened(path)
        holding = asyncio.create_task(hold(journal, "a", alone=True, seconds=0.05))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(hold(journal, "waiting"))
        await asyncio.sleep(0)
        fill_disk(journal)
        async with asyncio.timeout(5):
            errors = await asyncio.gather(holding, waiting, return_exceptions=True)
        assert [type(error) for error in errors] == [StoreError, StoreError]

    asyncio.run(main())


#: Ends a process with a record in hand.
ENDING = """
import asyncio, resource, sys
from pathlib import Path
from boom_streams.agents.delivery.journal import Journal
from boom_streams.agents.delivery.watchdog import fail_stop, leave

async def main():
    journal = Journal(Path(sys.argv[1]))
    journal.open()
    async with journal.hand(["a"]):
        exec(sys.argv[2])

asyncio.run(main())
"""
FULL = "resource.setrlimit(resource.RLIMIT_FSIZE, ({}, resource.RLIM_INFINITY)); fail_stop('why')"


@pytest.mark.parametrize(
    ("end", "code", "blamed"),
    [
        ("fail_stop('why')", 70, False),
        ("leave('why')", 1, False),
        ("fail_stop('frozen', blame=True)", 70, True),
        (FULL.format(0), 70, False),
        (FULL.format(10), 70, False),
    ],
)
def test_an_end_on_purpose_is_no_records_fault(path: Path, end: str, code: int, blamed: bool) -> None:
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", ENDING, path, end]).returncode == code
    assert opened(path).suspect("a") == blamed


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 50, b'{"in_hand": ["a"', b"[]", b"{}", b'{"in_hand": 1}', b"\xff\xfe"]
)
def test_a_torn_file_is_started_anew(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert not opened(path).suspect("a")
    assert str(path) in caplog.text
    assert json.loads(path.read_bytes()) == {"in_hand": [], "deaths": {}, "deadly": []}


def test_the_rest_of_a_longer_line_does_not_matter(path: Path) -> None:
    """A process may die after it has written a line, before it has cut off what was there."""
    for _ in range(3):
        die(path, ["a"])
    line = path.read_bytes()
    path.write_bytes(line + b'me": 3}, "deadly": []}\n')
    assert opened(path).suspect("a")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"cannot write .*file/journal.json: .*APP_DATADIR"):
        opened(tmp_path / "file" / "journal.json")


def test_only_a_worker_touches_the_file(path: Path) -> None:
    die(path, ["a"])
    before = path.read_bytes()
    Journal(path)
    assert path.read_bytes() == before


def test_it_does_not_grow_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    for start in range(0, 100, 5):
        die(path, [f"{start + i}" for i in range(5)])
        die(path, ["often"])
    assert opened(path).suspect("often")
    assert len(json.loads(path.read_bytes())["deaths"]) == 10
