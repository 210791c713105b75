"""`boom-streams demo`: from nothing to what passed, again, and ended in the middle."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fastavro
import pytest

from boom_streams.topologies.survey import ROLES
from tests.acceptance import made_up
from tests.conftest import ROOT
from tests.support.html_tree import parse
from tests.support.waiting import wait_for

DEMO = (sys.executable, "-m", "boom_streams.cli", "demo")
COUNTS = re.compile(r"alerts in: (\d+), enriched: (\d+), classified: (\d+), filtered: (\d+), dead letters: (\d+)")
BROKEN, TRUNCATED = "121540793515135009.avro", "516401801315010009.avro"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all runs: the later ones find what the first has left."""
    return tmp_path_factory.mktemp("demo")


def start(root: Path, data_dir: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    environment = os.environ | {"BOOM_DATA_DIR": str(data_dir), "COLUMNS": "160"}
    return subprocess.Popen(
        [*DEMO, *map(str, arguments)], cwd=root, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def processes(data_dir: Path) -> list[str]:
    """Command lines of everything that runs on this data folder: services by argument, workers by environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            running = (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            continue
        if running and str(data_dir).encode() in told:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def run(root: Path, data_dir: Path, night: Path) -> tuple[str, list[int]]:
    """Output and counts of a demo that succeeds and leaves nothing running."""
    process = start(root, data_dir, night, "--rows", "200")
    output, errors = process.communicate(timeout=280)
    assert process.returncode == 0, errors
    assert processes(data_dir) == []
    counts = COUNTS.search(output)
    assert counts is not None, output
    assert re.search(r"[\d.]+ s, \d+ alerts/s through every stage", output)
    return output, [int(count) for count in counts.groups()]


def mixed(folder: Path) -> int:
    """A file of every ZTF schema, a broken one and a truncated one, real or made up; the number of schemas."""
    real = ROOT.parent / "shared/data/alerts/ztf"
    if real.is_dir():
        return _copied(real, folder)
    made_up.broken(folder)
    made_up.truncated(folder)
    return made_up.every_version(folder)


def _copied(real: Path, folder: Path) -> int:
    """Copy the smallest file of each schema, and what is broken."""
    smallest: dict[str, Path] = {}
    files = [path for path in real.rglob("*.avro") if path.is_file()]
    for path in sorted(files, key=lambda path: path.stat().st_size):
        if path.name not in (BROKEN, TRUNCATED):
            try:
                with path.open("rb") as file:
                    reader = fastavro.reader(file)
                    packets = list(reader)
            except Exception:  # other broken files, whatever is wrong with them
                continue
            if len(packets) == 1:
                version = packets[0].get("schemavsn", dict(reader.writer_schema).get("version"))
                smallest.setdefault(version, path)
    for path in (*smallest.values(), *(p for p in files if p.name in (BROKEN, TRUNCATED))):
        shutil.copy(path, folder / path.name)
    return len(smallest)


def test_a_night_from_nothing_to_what_passed(root: Path, some_night: Callable[[str], Path], data_dir: Path) -> None:
    output, (alerts, enriched, classified, filtered, dead) = run(root, data_dir, some_night("20211121_snappy"))
    assert (alerts, enriched, classified, dead) == (110, 110, 110, 0)
    assert 0 < filtered < 110
    assert "objectId" in output
    rows = re.findall(r"│ (ZTF\w+) +│ +(\d+) +│", output)
    assert len(set(rows)) == filtered
    assert (data_dir / "demo/20211121_snappy.html").resolve().as_uri() in output
    page = parse((data_dir / "demo/20211121_snappy.html").read_text())
    cards = page.all("article", "card")
    alerts_of = {name: {candid for of, candid in rows if of == name} for name, _ in rows}
    assert [card.one("h2").text for card in cards] == list(alerts_of), "a card an object"
    for card, candids in zip(cards, alerts_of.values(), strict=True):
        assert all(candid in card.text for candid in candids), "with all its alerts"
    assert all(len(card.all("img")) == 3 and card.all("svg", "curve") for card in cards)


def test_every_schema_on_the_same_data_with_what_is_broken(root: Path, data_dir: Path, tmp_path: Path) -> None:
    schemas = mixed(tmp_path)
    assert schemas >= 8
    _, (alerts, enriched, classified, _, dead) = run(root, data_dir, tmp_path)
    assert (alerts, enriched, classified, dead) == (schemas + 1, schemas + 1, schemas + 1, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_in_the_middle_it_leaves_nothing(
    root: Path, some_night: Callable[[str], Path], data_dir: Path, number: signal.Signals
) -> None:
    process = start(root, data_dir, some_night("20231018"))
    wait_for(lambda: sum("faust" in line for line in processes(data_dir)) >= len(ROLES), seconds=120.0)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert processes(data_dir) == []
