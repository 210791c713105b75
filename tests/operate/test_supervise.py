"""Supervised processes: restarted, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from boom_streams.operate import supervise
from boom_streams.operate.supervise import Exit, Supervisor, environment
from boom_streams.settings import Settings, load_settings
from tests.support.waiting import wait_for

#: Whatever a supervisor is to do, it does within 20 s.
soon = partial(wait_for, seconds=20.0)

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"
WITH_CHILD = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print('child', child.pid, flush=True); time.sleep(600)"
)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Supervisor]:
    def make(code: str, **options: Any) -> Supervisor:
        options = {"workers": {"enrich": 1}, "command": (sys.executable, "-c", code)} | options
        return Supervisor(load_settings(data_dir=tmp_path), **options)

    return make


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def output(supervisor: Supervisor, role: str = "enrich", index: int = 0) -> str:
    path = supervisor.log_file(role, index)
    return path.read_text() if path.exists() else ""


def test_each_role_has_its_number_of_workers(make: Callable[..., Supervisor]) -> None:
    with make(SLEEPS, workers={"enrich": 2, "classify": 1, "sink": 0}) as supervisor:
        assert [len(supervisor.pids(role)) for role in ("enrich", "classify", "sink")] == [2, 1, 0]
        pids = supervisor.pids()
        assert len(set(pids)) == 3
        assert all(map(alive, pids))
    assert not any(map(alive, pids))
    assert supervisor.pids() == []


def test_a_worker_knows_its_role_and_folder(make: Callable[..., Supervisor], tmp_path: Path) -> None:
    code = "import os; print(os.environ['BOOM_ROLE'], os.environ['APP_DATADIR'], os.environ['BOOM_BATCH_MS'])"
    with make(code, extra_environment={"BOOM_BATCH_MS": "7"}) as supervisor:
        soon(lambda: output(supervisor).strip())
    assert output(supervisor).split()[:3] == ["enrich", str(tmp_path / "workers" / "enrich-0"), "7"]


def test_what_exits_is_started_again_after_growing_waits(make: Callable[..., Supervisor]) -> None:
    exits: list[Exit] = []
    with make("raise SystemExit(3)") as supervisor:
        soon(lambda: exits.extend(supervisor.poll()) or len(exits) >= 3)
    assert [e.code for e in exits[:3]] == [3, 3, 3]
    assert [e.wait for e in exits[:3]] == [0.5, 1.0, 2.0]
    assert len({e.pid for e in exits[:3]}) == 3


def test_a_killed_worker_is_replaced_and_the_others_stay(make: Callable[..., Supervisor]) -> None:
    with make(SLEEPS, workers={"enrich": 1, "classify": 1}) as supervisor:
        (victim,), (other,) = supervisor.pids("enrich"), supervisor.pids("classify")
        os.kill(victim, signal.SIGKILL)
        (exited,) = soon(supervisor.poll)
        assert (exited.worker, exited.code) == ("enrich-0", -signal.SIGKILL)
        (successor,) = soon(lambda: supervisor.poll() or supervisor.pids("enrich"))
        assert successor != victim
        assert supervisor.pids("classify") == [other]


@pytest.mark.parametrize("frozen", [False, True])
def test_stop_is_bounded_whatever_a_worker_does(make: Callable[..., Supervisor], frozen: bool) -> None:
    supervisor = make(STUBBORN)
    supervisor.start()
    (pid,) = supervisor.pids()
    soon(lambda: "up" in output(supervisor))
    if frozen:
        os.kill(pid, signal.SIGSTOP)
    supervisor.stop(patience=0.3)
    assert not alive(pid)


def test_children_of_a_worker_end_with_it(make: Callable[..., Supervisor]) -> None:
    with make(WITH_CHILD) as supervisor:
        soon(lambda: "child" in output(supervisor))
        child = int(output(supervisor).split()[1])
        (pid,) = supervisor.pids()
        os.kill(pid, signal.SIGKILL)
        soon(supervisor.poll)
        soon(lambda: not alive(child))


def test_an_interruption_while_a_worker_is_forked_is_not_lost(tmp_path: Path) -> None:
    """Python calls functions after a fork, and drops what a signal's handler raises in them."""
    code = f"""
import os, signal, sys
from boom_streams.settings import load_settings
from boom_streams.operate.supervise import Supervisor
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))
settings = load_settings(data_dir={str(tmp_path)!r})
try:
    with Supervisor(settings, {{"enrich": 2}}, command=(sys.executable, "-c", {SLEEPS!r})):
        print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""
    root = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout == "interrupted\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys, time
from boom_streams.settings import load_settings
from boom_streams.operate.supervise import Supervisor
settings = load_settings(data_dir={str(tmp_path)!r})
supervisor = Supervisor(settings, {{"enrich": 2}}, command=(sys.executable, "-c", {SLEEPS!r}))
supervisor.start()
print(*supervisor.pids(), flush=True)
time.sleep(600)
"""
    root = Path(__file__).resolve().parent.parent.parent
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(alive, pids))
        parent.kill()
        parent.wait()
        soon(lambda: not any(map(alive, pids)))


def test_settings_survive_the_way_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        kafka="a:1,b:2",
        kafka_password="p w",
        models=("acai_h", "braai"),
        init=False,
        data_dir=tmp_path,
        catalogs_dir=tmp_path,
        models_dir=tmp_path,
    )
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    again: Settings = load_settings()
    assert again == settings


def test_a_log_is_put_aside_while_its_worker_writes(
    make: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "MAX_LOG_BYTES", 100_000)
    monkeypatch.setattr(supervise, "_LOG_SECONDS", 0.1)
    chatter = "import time\nfor n in range(10**9):\n    print(f'line {n:9}', flush=True); time.sleep(1e-5)"
    with make(chatter) as supervisor:
        path = supervisor.log_file("enrich", 0)
        aside = path.with_suffix(".log.1")

        def rotated() -> bool:
            supervisor.poll()
            return aside.exists() and path.stat().st_size > 1000

        soon(rotated, "the log is put aside")
        lines = [line for line in path.read_text().splitlines()[1:-1] if line]
        assert all(line.startswith("line ") for line in lines)
        assert aside.stat().st_size > 100_000
        first = aside.read_text().splitlines()[0]
        soon(lambda: rotated() and aside.read_text().splitlines()[0] != first, "and again")
        assert path.stat().st_size + aside.stat().st_size < 100 * supervise.MAX_LOG_BYTES
