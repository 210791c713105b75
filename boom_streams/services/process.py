"""Detached processes: started into a session of their own, found again by pid, ended for certain."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from boom_streams.errors import ServiceError

__all__ = ["accepts", "alive", "end", "free_ports", "spawn", "tail"]

#: Below the ports that systems give to outgoing connections, so a stopped service finds its port free again.
_PORTS = range(20000, 32000)


def spawn(command: Sequence[str], log: Path) -> int:
    """Start a command (its program an absolute path) that outlives this process; its output goes to ``log``.

    Returns
    -------
    int
        The process id, which is also its session and process group.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    files: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], list(command), os.environ, file_actions=files, setsid=True)


def alive(pid: int | None, marker: str) -> bool:
    """Tell whether ``pid`` runs and is still ours: ``marker`` is part of its command line."""
    if pid is None:
        return False
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)  # a child of this process: nobody else has its pid
    except ChildProcessError:
        return marker in _command_line(pid)


def end(pid: int | None, marker: str, *, grace: float, kill: bool = False) -> bool:
    """End a process: SIGTERM, after ``grace`` seconds SIGKILL; with ``kill`` SIGKILL at once.

    Returns
    -------
    bool
        Whether there was something to end.
    """
    if pid is None or not alive(pid, marker):
        return False
    signals = [(signal.SIGKILL, 30.0)] if kill else [(signal.SIGTERM, grace), (signal.SIGKILL, 30.0)]
    for number, patience in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not alive(pid, marker):
                return True
            time.sleep(0.02)
    raise ServiceError(f"process {pid} ({marker}) did not end, even on SIGKILL")


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nothing listens on."""
    found: list[int] = []
    for port in random.sample(_PORTS, 2000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise ServiceError(f"no {count} free ports on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}")


def accepts(port: int) -> bool:
    """Tell whether something on 127.0.0.1 accepts connections on ``port``."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def tail(log: Path, lines: int = 15) -> str:
    """Last lines of a log file; empty if there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _command_line(pid: int) -> str:
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    listing = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
    return listing.stdout
