"""What runs where: ``services.json`` in the data folder, and the lock that guards it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Endpoints", "forget", "load", "locked", "save"]

_FILE = "services.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of the local services; they stay the same until both services are stopped.

    Attributes
    ----------
    kafka
        Bootstrap server, ``127.0.0.1:port``.
    mongo_uri
        Connection string of mongod.
    kafka_port, controller_port, mongod_port
        Ports on 127.0.0.1.
    kafka_pid, mongod_pid
        Process ids; None for a service that was stopped.
    """

    kafka: str
    mongo_uri: str
    kafka_port: int
    controller_port: int
    mongod_port: int
    kafka_pid: int | None = None
    mongod_pid: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``services.json``."""
        return asdict(self)


def load(data_dir: Path) -> Endpoints | None:
    """Read ``services.json``; None if there is none, or it is not one of ours."""
    try:
        return Endpoints(**json.loads((data_dir / _FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def save(data_dir: Path, endpoints: Endpoints) -> None:
    """Write ``services.json`` in one step, so that a reader never sees half of it."""
    temporary = data_dir / f"{_FILE}.{os.getpid()}"
    temporary.write_text(json.dumps(endpoints.to_dict(), indent=2) + "\n")
    temporary.replace(data_dir / _FILE)


def forget(data_dir: Path) -> None:
    """Remove ``services.json``: nothing runs any more."""
    (data_dir / _FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the lock of the data folder; starts and stops of several processes wait for one another."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "services.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
