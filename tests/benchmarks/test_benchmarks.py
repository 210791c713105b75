"""``make bench``: that it measures, not what."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from benchmarks import chain, filters, latency, measure, night, profile, report, sampler, yardstick
from benchmarks.plan import Figures, HistoryCost, Load
from boom_streams.filters.store import check_pipeline

COST = chain.Cost(
    alerts=100,
    margins=2,
    seconds=2.0,
    cpu_ms=dict.fromkeys(chain.PROCESSES, 0.5),
    peak_mib=dict.fromkeys(chain.PROCESSES, 100.0),
    records={"filtered": 7},
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_night_goes_through_and_its_cost_is_printed(shared: Path, root: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    folder = root / ".boom" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    command = [sys.executable, "benchmarks/run.py", "--quick", "--alerts", "60", "--json", str(file)]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert all(any(process in line for line in lines) for process in chain.PROCESSES)
    figures = json.loads(file.read_text())
    (cost,) = figures["costs"]["a"]
    assert cost["alerts"] == cost["records"]["enriched"] == cost["records"]["classified"] == 60
    assert 0 < cost["records"]["filtered"] < 60
    assert min(cost["cpu_ms"][role] for role in ("enrich", "classify", "filter", "sink", "kafka", "mongod")) > 0
    assert lines[-1] == f"total {sum(cost['cpu_ms'].values()):.2f}"
    assert set(folder.iterdir()) == before


def test_help_says_what_is_measured(root: Path) -> None:
    run = subprocess.run([sys.executable, "-m", "benchmarks.run", "--help"], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0
    assert "CPU milliseconds" in " ".join(run.stdout.split())


@pytest.mark.parametrize("kind", ["a", "b"])
def test_every_filter_of_a_set_is_valid(shared: Path, kind: str) -> None:
    made = filters.pipelines(shared, kind)
    assert len(made) == filters.COUNT
    for pipeline in made:
        check_pipeline(pipeline)
    assert len({json.dumps(pipeline) for pipeline in made}) == (1 if kind == "a" else filters.COUNT)


def test_set_b_begins_with_the_filter_of_set_a(shared: Path) -> None:
    assert filters.pipelines(shared, "b")[0] == filters.pipelines(shared, "a")[0]


def test_usage_counts_the_work_of_a_process_and_its_children() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]]); print('done'); input()"
    work = "x = bytearray(64 << 20)\nwhile __import__('time').process_time() < 0.5: pass"
    process = subprocess.Popen(
        [sys.executable, "-c", code, work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        before = measure.usage(process.pid)
        assert process.stdout.readline() == "done\n"
        after = measure.usage(process.pid)
        assert measure.between({"p": before}, {"p": after})["p"] >= 400
        assert after.peak_mib > 0
    finally:
        process.kill()
        process.communicate()
    with pytest.raises(ProcessLookupError, match=f"process {process.pid} has ended"):
        measure.usage(process.pid)


def test_machine_is_described() -> None:
    assert set(measure.machine()) == {"processor", "cores", "memory"}


def test_samples_name_the_function_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sampler.VARIABLE, str(tmp_path))
    ended = threading.Event()

    def busy() -> None:
        while not ended.is_set():
            sum(range(1000))

    worker = threading.Thread(target=busy)
    worker.start()
    try:
        sampler.start("role")
        with sampler.window(tmp_path):
            began = time.thread_time()
            while time.thread_time() - began < 0.2:
                pass
    finally:
        ended.set()
        worker.join()
    found = profile.read(tmp_path, 10)["role"]
    assert any("busy" in name for name in found.functions)
    assert found.total == pytest.approx(sum(found.modules.values()))


def test_a_profile_tells_our_time_from_that_of_others(tmp_path: Path) -> None:
    stacks = {
        "asyncio:run:1;boom_streams.avro.containers:read:7;fastavro:reader:3": 20.0,
        "asyncio:run:1;boom_streams.avro.containers:read:9": 10.0,
        "asyncio:run:2": 5.0,
        sampler.NATIVE: 1.0,
    }
    (tmp_path / "enrich.json").write_text(json.dumps(stacks))
    found = profile.read(tmp_path, 10)["enrich"]
    assert found.total == pytest.approx(3.6)
    assert found.modules == Counter(
        {"fastavro": 2.0, "boom_streams.avro.containers": 1.0, "asyncio": 0.5, sampler.NATIVE: 0.1}
    )
    assert found.ours == Counter({"boom_streams.avro.containers:read": 3.0, "(asyncio)": 0.5, sampler.NATIVE: 0.1})
    assert found.lines["boom_streams.avro.containers:read:7"] == 2.0


def test_longer_histories_are_as_long_as_they_say(shared: Path, tmp_path: Path) -> None:
    made = night.make(tmp_path / "cache", shared / "bench" / "make_night.py", 4, lambda files: None)
    again = night.make(tmp_path / "cache", shared / "bench" / "make_night.py", 2, lambda files: None)
    assert made == again  # a night that is large enough is used
    assert len(made.files(4)) == 4
    original = next(fastavro.reader(BytesIO(made.updates[0].read_bytes())))
    lengths = {}
    for factor in (1, 3):
        longer, mean = night.long_history(made, tmp_path / str(factor), 4, factor)
        packets = [next(fastavro.reader(BytesIO(file.read_bytes()))) for file in longer.files(4)]
        counts = [len(packet["prv_candidates"]) + len(packet["fp_hists"]) for packet in packets]  # type: ignore[index,call-overload]
        assert mean == sum(counts) / len(counts)
        lengths[factor] = mean
        assert {"prv_candidates", "fp_hists", "candidate"} >= _different(packets[2], original)
    assert 2 < lengths[3] / lengths[1] <= 3


def _different(packet: Any, other: Any) -> set[str]:
    assert packet.keys() == other.keys()
    return {name for name in packet if packet[name] != other[name]}


def test_the_yardstick_is_the_time_of_fixed_work(shared: Path) -> None:
    measured = yardstick.measure(sorted((shared / "data/alerts/ztf/20231012").glob("*.avro")), shared / "models")
    assert measured.keys() == {*yardstick.REFERENCE, yardstick.MODELS}
    assert min(measured.values()) > 0
    assert yardstick.slowness(yardstick.REFERENCE) == pytest.approx(1.0)
    assert yardstick.slowness({name: 3 * ms for name, ms in yardstick.REFERENCE.items()}) == pytest.approx(3.0)
    assert yardstick.at_reference(10.0, 6.0, 2.0) == pytest.approx(2.0 + yardstick.MODELS_MS)


def test_figures_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures(measure.machine(), 100, {"a": [COST], "b": [COST]})
    figures.yardstick = [{name: 2 * ms for name, ms in yardstick.REFERENCE.items()} | {yardstick.MODELS: 0.5}]
    figures.loads = [Load("a half", 50.0, COST), Load("a tenth", 10.0, COST)]
    figures.idle = dict.fromkeys(chain.PROCESSES, 5.0)
    figures.latency = latency.Latency(50.0, [10.0, 20.0, 30.0], [11.0, 21.0, 31.0], 100, 7)
    figures.history = [HistoryCost("1 x", 30.0, COST, 1000.0), HistoryCost("3 x", 90.0, COST, 2000.0)]
    times = Counter({"boom_streams.avro.containers": 1.5})
    figures.profile = {"enrich": profile.Profile(1.5, times, times, times, times)}
    for part in ("machine", "cost", "latency", "profile", "history"):
        report.show(figures, part)
    printed = capsys.readouterr().out
    assert "3.50" in printed
    assert "set a at the reference's speed: 4.22 CPU ms an alert" in printed
    assert "p99" in printed
    assert report.last_line(figures) == "total 3.50"
    written = json.loads(report.as_json(figures))
    assert written["costs"]["b"][0]["alerts"] == 100
    assert written["profile"]["enrich"]["modules"] == {"boom_streams.avro.containers": 1.5}
