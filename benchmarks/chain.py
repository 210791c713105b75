"""The broker as ``boom-streams up`` runs it, on services of its own, and what a night costs each of its processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import catalogs, sampler
from benchmarks.filters import activate
from benchmarks.measure import Usage, between, together, usage
from benchmarks.night import Night
from boom_streams import names, services
from boom_streams.archive import mongo
from boom_streams.errors import BoomError, ServiceError
from boom_streams.kafka.clients import admin
from boom_streams.kafka.offsets import disconnect, watermarks
from boom_streams.operate import layouts, status
from boom_streams.operate.division import cores, divide
from boom_streams.operate.prepare import initialise
from boom_streams.operate.supervise import Supervisor, environment
from boom_streams.services.state import Endpoints
from boom_streams.settings import Settings, load_settings
from boom_streams.topologies.survey import ROLES, TOPICS

__all__ = ["PROCESSES", "Chain", "Cost", "Marks", "running_services"]

ROOT = Path(__file__).resolve().parent.parent

#: Everything that spends time on an alert, in its order.
PROCESSES = ("replay", *ROLES, "kafka", "mongod")

#: Seconds without any progress after which a run has failed.
PATIENCE = 180.0

#: Seconds between looks at what is left; each look costs Kafka some milliseconds.
_INTERVAL = 0.5

Marks = Mapping[tuple[str, int], tuple[int, int]]

#: Told how many records are left to the stages and sinks.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one replay cost.

    Attributes
    ----------
    alerts, margins, records
        Alerts and margin records written to the raw topic; records a stage has written.
    seconds
        From the first alert's replay until no stage and no sink had anything left to do.
    cpu_ms
        CPU milliseconds an alert, a process each.
    peak_mib
        Largest resident memory since the start of each process, MiB.
    """

    alerts: int
    margins: int
    seconds: float
    cpu_ms: dict[str, float]
    peak_mib: dict[str, float]
    records: dict[str, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Alerts a second."""
        return self.alerts / self.seconds

    @property
    def total_ms(self) -> float:
        """CPU milliseconds an alert, over every process."""
        return sum(self.cpu_ms.values())


@contextmanager
def running_services(folder: Path) -> Iterator[Endpoints]:
    """Kafka and mongod for the benchmark alone, in a new folder below ``folder`` that is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-", ignore_cleanup_errors=True) as data:
        try:
            yield services.start(data)
        finally:
            services.stop(data, kill=True)


class Chain:
    """Workers, replay process and filters on topics and a database of their own; gone at the end.

    Parameters
    ----------
    endpoints
        Kafka and mongod that run.
    folder
        Where the data folder of this chain goes.
    shared
        Folder with the filters.
    filters
        The set of filters.
    catalogues
        A broker whose catalogues are used.
    profile
        Folder for samples of where the time goes; None: no sampling.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        folder: Path,
        shared: Path,
        filters: str,
        catalogues: Settings,
        profile: Path | None = None,
    ) -> None:
        unique = f"b{uuid.uuid4().hex[:8]}"
        self.settings = load_settings(
            kafka=endpoints.kafka,
            mongo_uri=endpoints.mongo_uri,
            topic_prefix=f"{unique}.",
            mongo_db=unique,
            data_dir=folder / unique,
            models_dir=shared / "models",
        )
        self._endpoints = endpoints
        self._shared = shared
        self._filters = filters
        self._catalogues = catalogues
        self._profile = profile
        workers = divide(cores(), self.settings.partitions)
        self._supervisor = Supervisor(self.settings, workers, extra_environment=self._extra())
        if profile:
            python, run_module, *rest = self._supervisor.command
            self._supervisor.command = (python, run_module, "benchmarks.profiled", *rest)
        self._replayer: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            initialise(self.settings)
            catalogs.copy(self._catalogues, self.settings)
            activate(self.settings, self._shared, self._filters)
            self._replayer = _start_replayer(self.settings, self._extra())
            self._supervisor.start()
            self._await_workers()
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        traceback.clear_frames(trace)  # what failed holds connections
        self._end()

    def warm_up(self, night: Night) -> None:
        """Send the night's warm alerts through: connections, caches and code are ready afterwards."""
        self._drain(self._replay(night.warm, None), lambda left: None)

    def run(self, paths: Sequence[Path], progress: Progress, rate: float | None = None) -> Cost:
        """Replay alerts, wait for the last stage and the last sink, and say what it cost."""
        marks = self.marks()
        before = self._usage()
        start = time.monotonic()
        with sampler.window(self._profile):
            answer = self._replay(paths, rate)
            counts = self._drain(answer, progress)
            seconds = time.monotonic() - start
        after = self._usage()
        alerts = counts["alerts"]
        if counts["dead"] or alerts != len(paths):
            raise BoomError(f"{len(paths)} alerts were to be replayed, and {counts} were")
        cpu = {name: ms / alerts for name, ms in between(before, after).items()}
        peak = {name: used.peak_mib for name, used in after.items()}
        cost = Cost(alerts, counts["margins"], seconds, cpu, peak, self._written(marks))
        if cost.records["classified"] != alerts or cost.records["dead"]:
            raise BoomError(f"not every alert went through: of {alerts}, {cost.records}")
        return cost

    def idle(self, seconds: float) -> dict[str, float]:
        """CPU milliseconds a second of each process while nothing comes in."""
        time.sleep(3.0)  # commits and timers of the last alerts
        before = self._usage()
        time.sleep(seconds)
        return {name: ms / seconds for name, ms in between(before, self._usage()).items()}

    def marks(self) -> Marks:
        """First and next offsets of the stages' topics."""
        topics = [names.topic("ZTF", stage, self.settings.topic_prefix) for stage in TOPICS]
        return watermarks(self.settings, dict.fromkeys(topics, self.settings.partitions))

    def archived_bytes(self) -> int:
        """Bytes of the objects in the archive, before compression."""
        found = mongo.database(self.settings).command("collStats", names.collection("ZTF", "alerts_aux"))
        return int(found["size"])

    def _extra(self) -> dict[str, str]:
        profiled = {sampler.VARIABLE: str(self._profile)} if self._profile else {}
        return {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])), **profiled}

    def _await_workers(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            self._check()
            with suppress(ServiceError):  # a Kafka that has just started takes its time with the first group
                if sum(layouts.members(self.settings, settled=True).values()) == len(self._supervisor.members()):
                    return
            if time.monotonic() > deadline:
                raise BoomError(f"the workers do not start{self._logs()}")
            time.sleep(0.1)

    def _check(self) -> None:
        for exited in self._supervisor.poll():
            raise BoomError(f"worker {exited.worker} exited with {exited.code}{self._logs()}")

    def _logs(self) -> str:
        """Return the ends of the workers' logs, which are about to be removed."""
        logs = [self._supervisor.log_file(*each) for each in self._supervisor.members()]
        ends = {file.stem: file.read_text()[-1500:] for file in logs if file.exists()}
        return "".join(f"\n--- {name}\n{text}" for name, text in ends.items() if text)

    def _usage(self) -> dict[str, Usage]:
        assert self._replayer is not None
        assert self._endpoints.kafka_pid is not None
        assert self._endpoints.mongod_pid is not None
        pids = {"replay": [self._replayer.pid]}
        pids |= {role: self._supervisor.pids(role) for role in ROLES}
        pids |= {"kafka": [self._endpoints.kafka_pid], "mongod": [self._endpoints.mongod_pid]}
        return {name: together(map(usage, members)) for name, members in pids.items()}

    def _replay(self, paths: Sequence[Path], rate: float | None) -> subprocess.Popen[str]:
        process = self._replayer
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(json.dumps({"paths": list(map(str, paths)), "rate": rate}) + "\n")
        process.stdin.flush()
        return process

    def _drain(self, replayer: subprocess.Popen[str], progress: Progress) -> dict[str, Any]:
        """Wait until the replay has ended, and then until no stage and no sink has anything left to do."""
        answer = _Answer(replayer)
        lags: dict[tuple[str, str], int] = {}
        moved = time.monotonic()
        while True:
            self._check()
            replayed = answer.poll()
            now = status.lag(self.settings)
            progress(sum(now.values()))
            if replayed is not None and not any(now.values()):
                return replayed
            if now != lags:
                lags, moved = now, time.monotonic()
            if time.monotonic() - moved > PATIENCE:
                raise BoomError(f"nothing has moved for {PATIENCE:g} s; left: {now}{self._logs()}")
            time.sleep(_INTERVAL)

    def _written(self, before: Marks) -> dict[str, int]:
        written = dict.fromkeys(TOPICS, 0)
        for (topic, partition), (_, high) in self.marks().items():
            written[topic.rpartition(".")[2]] += high - before[topic, partition][1]
        return written

    def _end(self) -> None:
        self._supervisor.stop(5.0)
        if self._replayer is not None:
            self._replayer.kill()
            self._replayer.communicate()
        with suppress(Exception):  # what is left goes with the services' folder
            mongo.database(self.settings).client.drop_database(self.settings.mongo_db)
            client = admin(self.settings)
            ours = [t for t in client.list_topics(timeout=10).topics if t.startswith(self.settings.topic_prefix)]
            for future in client.delete_topics(ours).values():
                future.result(10)
            del client
        disconnect()
        shutil.rmtree(self.settings.data_dir, ignore_errors=True)


class _Answer:
    """The line that the replay process writes at its end, without waiting for it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self._output = process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._answer: dict[str, Any] | None = None

    def poll(self) -> dict[str, Any] | None:
        """Return the answer, None before it is there."""
        if self._answer is None and (line := self._output.readline()):
            self._answer = json.loads(line)
        if self._answer is None and self._process.poll() is not None:
            raise BoomError("the replay process has ended; what it said is above")
        return self._answer


def _start_replayer(settings: Settings, extra: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.replayer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment(settings), **extra},
        start_new_session=True,
    )
