"""Start, stop and status of both services of a data folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from boom_streams.errors import ServiceError
from boom_streams.services import kafka, mongod, process
from boom_streams.services.state import Endpoints, forget, load, locked, save

__all__ = ["Service", "ServiceStatus", "start", "status", "stop"]

Service = Literal["kafka", "mongod"]

_BOTH: tuple[Service, ...] = ("kafka", "mongod")
_START_TIMEOUT = 90.0


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What one service is doing.

    Attributes
    ----------
    name
        ``kafka`` or ``mongod``.
    endpoint
        Bootstrap server or connection string; empty if it was never started.
    pid
        Process id; None if it does not run.
    answers
        Whether it answered a real request just now.
    detail
        One line for a person.
    """

    name: Service
    endpoint: str
    pid: int | None
    answers: bool
    detail: str


def start(data_dir: Path | str, only: Service | None = None) -> Endpoints:
    """Kafka and mongod run, and answer; what runs already is left as it is.

    Parameters
    ----------
    data_dir
        Folder of data, logs and ``services.json``.
    only
        Start this one only. A service that was stopped alone comes back with its port and data.

    Returns
    -------
    Endpoints
        Addresses and process ids.

    Raises
    ------
    ServiceError
        If something of the system is missing (the text has the command), or a service ends at start.
    """
    folder = Path(data_dir).resolve()
    with locked(folder):
        known = load(folder)
        running = known is not None and any(_running(known, folder, name) for name in _BOTH)
        if known is not None and (running or only):
            return _launch(folder, known, only)
        for _ in range(2):
            try:
                return _launch(folder, _new_endpoints(), only)
            except _PortTaken:
                continue
        return _launch(folder, _new_endpoints(), only)


def stop(data_dir: Path | str, only: Service | None = None, *, kill: bool = False) -> list[Service]:
    """Kafka and mongod have ended, cleanly if they can; ``kill`` sends SIGKILL at once.

    Returns
    -------
    list of str
        The services that were running.
    """
    folder = Path(data_dir).resolve()
    if not folder.is_dir():
        return []
    with locked(folder):
        known = load(folder)
        if known is None:
            return []
        names = [name for name in _BOTH if only in (None, name)]
        with ThreadPoolExecutor() as pool:
            ended = list(pool.map(lambda name: _end(known, folder, name, kill=kill), names))
        left = _without(known, names)
        if any(_running(left, folder, name) for name in _BOTH) or only:
            save(folder, left)
        else:
            forget(folder)
        return [name for name, was in zip(names, ended, strict=True) if was]


def status(data_dir: Path | str) -> list[ServiceStatus]:
    """Tell of each service whether it runs and answers; asks Kafka for metadata and pings mongod."""
    folder = Path(data_dir).resolve()
    known = load(folder)
    if known is None:
        return [ServiceStatus(name, "", None, False, "not started") for name in _BOTH]
    return [_status(known, folder, name) for name in _BOTH]


class _PortTaken(ServiceError):
    """Somebody else took the port between its choice and its use."""


def _new_endpoints() -> Endpoints:
    broker, controller, database = process.free_ports(3)
    return Endpoints(f"127.0.0.1:{broker}", f"mongodb://127.0.0.1:{database}", broker, controller, database)


def _pid(known: Endpoints, name: Service) -> int | None:
    return known.kafka_pid if name == "kafka" else known.mongod_pid


def _with_pid(known: Endpoints, name: Service, pid: int | None) -> Endpoints:
    return replace(known, kafka_pid=pid) if name == "kafka" else replace(known, mongod_pid=pid)


def _without(known: Endpoints, names: list[Service]) -> Endpoints:
    for name in names:
        known = _with_pid(known, name, None)
    return known


def _marker(folder: Path, name: Service) -> str:
    return kafka.marker(folder) if name == "kafka" else mongod.marker(folder)


def _running(known: Endpoints, folder: Path, name: Service) -> bool:
    return process.alive(_pid(known, name), _marker(folder, name))


def _launch(folder: Path, known: Endpoints, only: Service | None) -> Endpoints:
    wanted = [name for name in _BOTH if only in (None, name)]
    missing = [name for name in wanted if not _running(known, folder, name)]
    if "mongod" in missing:
        mongod.find()
    launched = known
    try:
        for name in reversed(missing):  # mongod first: it starts while Kafka's storage is formatted
            launched = _with_pid(launched, name, _launch_one(folder, launched, name))
            save(folder, launched)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: _await(launched, folder, name), wanted))
    except BaseException:
        for name in missing:
            _end(launched, folder, name, kill=True)
        left = _without(launched, missing)
        save(folder, left) if any(_running(left, folder, n) for n in _BOTH) else forget(folder)
        raise
    return launched


def _launch_one(folder: Path, known: Endpoints, name: Service) -> int:
    if name == "kafka":
        return kafka.launch(folder, known.kafka_port, known.controller_port)
    return mongod.launch(folder, known.mongod_port)


def _await(known: Endpoints, folder: Path, name: Service) -> None:
    port = known.kafka_port if name == "kafka" else known.mongod_port
    answers: Callable[[int, float], object] = kafka.answers if name == "kafka" else mongod.answers
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        if not _running(known, folder, name):
            text = kafka.explain(folder) if name == "kafka" else mongod.explain(folder)
            raise (_PortTaken if "ddress already in use" in text else ServiceError)(text)
        if process.accepts(port) and answers(port, 2.0) is not None:
            return
        time.sleep(0.05)
    raise ServiceError(f"{name} did not answer on port {port} within {_START_TIMEOUT:.0f} s; see {folder}")


def _end(known: Endpoints, folder: Path, name: Service, *, kill: bool) -> bool:
    grace = kafka.GRACE if name == "kafka" else mongod.GRACE
    return process.end(_pid(known, name), _marker(folder, name), grace=grace, kill=kill)


def _status(known: Endpoints, folder: Path, name: Service) -> ServiceStatus:
    endpoint = known.kafka if name == "kafka" else known.mongo_uri
    if not _running(known, folder, name):
        return ServiceStatus(name, endpoint, None, False, "stopped")
    if name == "kafka":
        topics = kafka.answers(known.kafka_port, 5.0)
        said = None if topics is None else f"Kafka, {topics} topics"
    else:
        version = mongod.answers(known.mongod_port, 5.0)
        said = None if version is None else f"MongoDB {version}"
    pid = _pid(known, name)
    return ServiceStatus(name, endpoint, pid, said is not None, said or "runs, but does not answer")
