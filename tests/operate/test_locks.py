"""One owner of a folder: a second `up` or worker is refused, a dead one is no obstacle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boom_streams.errors import BoomError, SettingsError
from boom_streams.kafka.topics import ensure_topics
from boom_streams.operate import locks
from boom_streams.operate.supervise import Supervisor, environment
from boom_streams.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent.parent
HOLDS = """
import sys, time
from pathlib import Path
from boom_streams.operate import locks
file = locks.hold(Path(sys.argv[1]), "worker", "APP_DATADIR")
print("held", flush=True)
time.sleep(600)
"""


def test_a_second_owner_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    file = locks.hold(tmp_path / "new", "worker", "APP_DATADIR")
    told = rf"another worker \(process {os.getpid()}\) works in .*new; end it, or set APP_DATADIR"
    with pytest.raises(BoomError, match=told):
        locks.hold(tmp_path / "new", "worker", "APP_DATADIR")
    locks.release(file)
    locks.release(locks.hold(tmp_path / "new", "worker", "APP_DATADIR"))


def test_a_killed_owner_is_no_obstacle(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BoomError, match=f"process {other.pid}"):
            locks.hold(tmp_path, "worker", "APP_DATADIR")
        other.send_signal(signal.SIGKILL)
        other.wait()
    locks.release(locks.hold(tmp_path, "worker", "APP_DATADIR"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"cannot write .*file/lock: .*; set APP_DATADIR"):
        locks.hold(tmp_path / "file", "worker", "APP_DATADIR")


def test_a_second_supervisor_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    with Supervisor(settings, {"enrich": 1}, command=command):
        second = Supervisor(settings, {"sink": 1}, command=command)
        with pytest.raises(BoomError, match=r"another `boom-streams up` or demo .* works in .*workers"):
            second.start()
        assert second.pids() == []
    with second:
        assert len(second.pids()) == 1


def test_a_second_worker_in_a_folder_ends_with_a_sentence(settings: Settings) -> None:
    ensure_topics(settings)
    file = locks.hold(settings.worker_folder, "worker", "APP_DATADIR")
    command = [sys.executable, "-m", "faust", "-A", "boom_streams", "worker", "-l", "warn", "--without-web"]
    variables = os.environ | environment(settings) | {"BOOM_ROLE": "enrich", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    locks.release(file)
    assert ended.returncode == 1
    assert f"another worker (process {os.getpid()}) works in {settings.worker_folder}" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
