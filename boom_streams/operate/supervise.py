"""Workers as processes of their own: started, restarted with back-off, and all ended together."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from boom_streams.operate import locks
from boom_streams.topologies.survey import ROLES

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["Exit", "Supervisor", "environment"]

log = logging.getLogger(__name__)

#: Wait before a restart, seconds: it doubles from the first to the last while a worker keeps exiting.
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0

#: Seconds after which a worker that still runs counts as well.
WELL_AFTER = 30.0

#: glibc keeps what a batch of some MB has freed; to give it back and ask for it again took a twentieth of the CPU time.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_TOP_PAD_": str(4 << 20),
}

#: A log file larger than this is put aside, bytes; one that was put aside before is replaced.
MAX_LOG_BYTES = 20 << 20

#: Seconds between two looks at the sizes of the log files.
_LOG_SECONDS = 5.0

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Exit:
    """A worker that ended by itself.

    Attributes
    ----------
    wait
        Seconds until it is started again.
    """

    worker: str
    pid: int
    code: int
    wait: float


@dataclass(slots=True)
class _Worker:
    role: str
    index: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.role}-{self.index}"


@dataclass(slots=True)
class Supervisor:
    """Runs the workers of every role, restarts what exits, and leaves nothing running.

    Call `poll` often (each tenth of a second), from the thread that called `start`: on Linux a worker is
    killed by the kernel when the thread that started it is gone, and with it when this process is killed.

    Parameters
    ----------
    settings
        Settings of the workers; each gets its role, and a folder for its RocksDB, on top.
    workers
        Number of workers a role; by default one of each.
    extra_environment
        Environment variables of the workers, on top of this process's own.
    command
        What a worker runs.
    """

    settings: Settings
    workers: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 1))
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = (
        *(sys.executable, "-m", "faust", "-L", "uvloop", "-A", "boom_streams"),
        *("worker", "-l", "warn", "--without-web"),
    )
    _workers: list[_Worker] = field(init=False, default_factory=list)
    _lock: int | None = field(init=False, default=None)
    _rotate_at: float = field(init=False, default=0.0)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every worker.

        Raises
        ------
        BoomError
            If another supervisor has its workers in the same data folder.
        """
        self._lock = locks.hold(self._folder(), "`boom-streams up` or demo", "BOOM_DATA_DIR")
        self._workers = [_Worker(role, index) for role, index in self.members()]
        for worker in self._workers:
            self._spawn(worker)

    def poll(self) -> list[Exit]:
        """Note what has exited, and start again what has waited long enough; return the exits."""
        exits = []
        now = time.monotonic()
        if now >= self._rotate_at:
            self._rotate_at = now + _LOG_SECONDS
            for worker in self._workers:
                _rotate(self.log_file(worker.role, worker.index))
        for worker in self._workers:
            process = worker.process
            if process is not None and (code := process.poll()) is not None:
                _kill_group(process.pid)  # what it may have left behind
                exits.append(self._note_exit(worker, process.pid, code, now))
            if worker.process is None and now >= worker.start_at:
                self._spawn(worker)
        return exits

    def pids(self, role: str | None = None) -> list[int]:
        """Process ids of the workers of a role (of all) that have been started and have not exited."""
        return [
            worker.process.pid
            for worker in self._workers
            if worker.process is not None and role in (None, worker.role) and worker.process.poll() is None
        ]

    def run(self, stopped: Callable[[], bool], on_exit: Callable[[Exit], None]) -> None:
        """Supervise until ``stopped()`` is true; the workers are still running afterwards."""
        while not stopped():
            for exited in self.poll():
                on_exit(exited)
            time.sleep(0.1)

    def stop(self, patience: float = 20.0) -> None:
        """End every worker: SIGTERM, and after ``patience`` seconds SIGKILL to what is left, children too."""
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            _signal(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        try:
            while time.monotonic() < deadline and any(process.poll() is None for process in running):
                time.sleep(0.05)
        finally:  # also on a second Ctrl-C
            for process in running:
                _kill_group(process.pid)
                process.wait()
            self._workers = []
            if self._lock is not None:
                locks.release(self._lock)
                self._lock = None

    def members(self) -> list[tuple[str, int]]:
        """Role and number of each worker."""
        return [(role, index) for role, count in self.workers.items() for index in range(count)]

    def data_folder(self, role: str, index: int) -> Path:
        """Folder with the RocksDB of a worker."""
        return self._folder() / f"{role}-{index}"

    def log_file(self, role: str, index: int) -> Path:
        """Where a worker's output goes."""
        return self.settings.data_dir.absolute() / "logs" / f"{role}-{index}.log"

    def last_words(self, role: str, index: int) -> str:
        """The last message of a worker's log that says why it ended; empty if there is none."""
        try:
            with self.log_file(role, index).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 14)))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        fatal = (line for line in reversed(lines) if "[CRITICAL]" in line or line.startswith("Error: "))
        return next(fatal, "").rpartition("[CRITICAL] ")[2].removeprefix("Error: ").strip()

    def _folder(self) -> Path:
        return self.settings.data_dir.absolute() / "workers"

    def _note_exit(self, worker: _Worker, pid: int, code: int, now: float) -> Exit:
        worker.failures = 1 if now - worker.started > WELL_AFTER else worker.failures + 1
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (worker.failures - 1))
        worker.process = None
        worker.start_at = now + wait
        log.info("worker %s (pid %d) exited with %d; again in %.1f s", worker.name, pid, code, wait)
        return Exit(worker.name, pid, code, wait)

    def _spawn(self, worker: _Worker) -> None:
        folder = self.data_folder(worker.role, worker.index)
        folder.mkdir(parents=True, exist_ok=True)
        variables = {
            **_numerics_on_one_thread(),
            **_KEEP_MEMORY,
            **os.environ,
            **environment(self.settings),
            "BOOM_ROLE": worker.role,
            "APP_DATADIR": str(folder),
            "PYTHONPATH": _python_path(),
            **self.extra_environment,
        }
        parent = os.getpid()
        with _open_log(self.log_file(worker.role, worker.index)) as output, _interrupted_later():
            worker.process = subprocess.Popen(
                list(self.command),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: _die_with(parent),
            )
        worker.started = time.monotonic()


def environment(settings: Settings) -> dict[str, str]:
    """Environment variables that give another process these settings."""
    variables = {}
    for name in type(settings).model_fields:
        value: Any = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, Path):
            value = value.absolute()
        elif isinstance(value, bool | tuple | list | dict):
            value = json.dumps(value)
        variables[f"BOOM_{name.upper()}"] = str(value)
    return variables


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Handle SIGINT and SIGTERM after the block: Python drops what a handler raises while a process is forked."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[tuple[int, FrameType | None]] = []
    handlers = {
        number: signal.signal(number, lambda *given: seen.append(given)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for raised, frame in seen:
        handler = handlers[signal.Signals(raised)]
        if callable(handler):
            handler(raised, frame)
        else:
            signal.raise_signal(raised)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone (Linux; elsewhere nothing happens)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before we asked
            os._exit(1)


def _numerics_on_one_thread() -> dict[str, str]:
    return dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def _python_path() -> str:
    """Python path that has this package, also where it runs from a checkout and not from its folder."""
    home = Path(__file__).resolve().parent.parent.parent
    others = os.environ.get("PYTHONPATH", "")
    if "site-packages" in home.parts:
        return others
    return os.pathsep.join(filter(None, [str(home), others]))


def _open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    _rotate(path)
    return path.open("ab")


def _rotate(path: Path) -> None:
    """Put a large log aside: its worker, which has the file open to append to it, goes on at the beginning."""
    try:
        if path.stat().st_size > MAX_LOG_BYTES:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("cannot put %s aside: %s", path, error)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
