"""What is done to the workers and the services, and the proof that records were redelivered for it.

A worker's journal (a small file beside its RocksDB) names the records that it has in hand. A victim is killed at a
moment when its journal names some. If the group has not committed these records then, nobody has, since only the
victim could: whoever owns the partition next begins at the committed offset, and gets them again. That is the evidence
that is counted for each stage and sink; copies of the same alert in the output topics, which are counted as well, show
it from the other side.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import ConsumerGroupState

from boom_streams import names, services
from boom_streams.kafka.clients import TIMEOUT, admin
from boom_streams.kafka.offsets import committed
from boom_streams.operate.supervise import Exit
from boom_streams.topologies.stage import Stage
from boom_streams.topologies.survey import STAGES
from tests.chaos.chain import Chain, Failed, place

__all__ = ["Fault", "Faults", "plan"]

_REBALANCING = {ConsumerGroupState.PREPARING_REBALANCING, ConsumerGroupState.COMPLETING_REBALANCING}

#: Seconds to wait for a worker to have records in hand, seconds after which any such moment will do, and seconds after
#: which more of the log is fed.
_WORK, _CHOOSY, _HUNGRY = 120.0, 15.0, 4.0

#: A batch that was in hand so many seconds ago will hardly have been committed.
_JUST = 0.3

#: Where a worker is slow (`tests.chaos.broken`), it is in the middle of its slow spot after so many seconds.
_LATE = 0.8


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to be done: to the worker that runs a stage, or to a service."""

    kind: str
    """``kill``, ``late``, ``wipe``, ``rebalance``, ``stop``, ``mongod`` or ``kafka``."""
    stage: Stage = STAGES[0]

    def __str__(self) -> str:
        stage = self.stage.name
        return {
            "kill": f"SIGKILL of a worker that has records of {stage} in hand",
            "late": f"SIGKILL of a worker {_LATE} s after it has begun with records of {stage}",
            "wipe": f"SIGKILL of a worker that has records of {stage} in hand; its RocksDB folder is removed",
            "rebalance": f"SIGKILL of a worker of {stage}, and of the other during the rebalance that follows",
            "stop": f"SIGSTOP of a worker that has records of {stage} in hand, for twice its session timeout",
        }.get(self.kind, f"restart of {self.kind}")


def plan(chance: random.Random, short: bool) -> list[Fault]:
    """What is done in a run, in a random order: each stage and sink is killed at least once."""
    tables = [stage for stage in STAGES if stage.tables]
    wiped = chance.choice(tables)
    faults = [Fault("wipe" if stage is wiped else "kill", stage) for stage in STAGES]
    if not short:
        faults += [
            Fault("rebalance", chance.choice(tables)),
            Fault("stop", chance.choice(tables)),
            Fault("kill", chance.choice(STAGES)),
            Fault("mongod"),
            Fault("kafka"),
        ]
    chance.shuffle(faults)
    return faults


@dataclass
class Faults:
    """Does things to a chain, and keeps the books."""

    chain: Chain
    services: Path
    """Data folder of Kafka and mongod."""
    chance: random.Random
    say: Callable[[str], None]
    feed: Callable[[], None]
    """Feeds some more of the raw log."""
    kills: int = 0
    redelivered: Counter[str] = field(default_factory=Counter)
    """Records that a killed worker had in hand and had not committed, a stage."""
    expected_exits: set[int] = field(default_factory=set)
    away: bool = False
    """Kafka or mongod is away: a worker that starts then cannot, and says so."""
    _left: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """What the journals of dead workers name, until their successors write them."""

    def on_exit(self, exited: Exit) -> None:
        """Note an exit; one that no fault explains shows that something is wrong."""
        if exited.pid in self.expected_exits or self.away:
            return
        said = "\n".join(self.chain.said(exited.worker).splitlines()[-30:])
        if "was frozen for" in said:  # by a machine with too much to do; what a worker should do then
            self.say(
                f"  {exited.worker} (pid {exited.pid}) was kept waiting longer than its session, and has ended itself"
            )
            return
        raise Failed(f"worker {exited.worker} exited by itself with {exited.code}; the end of its output:\n{said}")

    def do(self, fault: Fault) -> None:
        """Do it, and wait as long as it takes."""
        self.say(str(fault))
        if fault.kind == "late":
            worker = self._busy(fault.stage, choosy=0.0)
            self.chain.rest(_LATE)
            self._kill(worker)
        elif fault.kind in ("kill", "wipe"):
            self._kill(self._busy(fault.stage), wipe=fault.kind == "wipe")
        elif fault.kind == "rebalance":
            self._kill_in_rebalance(fault.stage)
        elif fault.kind == "stop":
            self._freeze(self._busy(fault.stage))
        else:
            self._restart_service(fault.kind)

    def _busy(self, stage: Stage, choosy: float = _CHOOSY) -> str:
        """A worker that has just handled a batch of the stage and has begun the next: looked at all the time.

        After ``choosy`` seconds any that has records in hand.
        """
        workers = [f"{stage.role}-{index}" for index in range(self.chain.workers[stage.role])]
        seen: dict[str, tuple[list[str], float]] = {}
        start = fed = time.monotonic()

        def busy() -> str | None:
            nonlocal fed
            for worker in (worker for _ in range(20) for worker in workers):
                held = self.chain.journal(worker, stage)
                if not held or held == self._left.get((worker, stage.name)) or not self.chain.pid(worker):
                    continue
                before, when = seen.get(worker, (held, 0.0))
                now = time.monotonic()
                if (held != before and now - when < _JUST) or now - start >= choosy:
                    return worker
                seen[worker] = (held, now)
            if time.monotonic() - fed > _HUNGRY:
                fed = time.monotonic()
                self.feed()
            return None

        return str(self.chain.tend(busy, _WORK, f"a worker with records of {stage.name} in hand", every=0.001))

    def _signal(self, worker: str, number: signal.Signals) -> int:
        pid = self.chain.pid(worker)
        if pid is None:
            raise Failed(f"worker {worker} does not run")
        if number != signal.SIGCONT:
            self.expected_exits.add(pid)
        os.kill(pid, number)
        return pid

    def _kill(self, worker: str, wipe: bool = False) -> None:
        pid = self._signal(worker, signal.SIGKILL)
        self.kills += 1
        self._await_death(pid)
        counts = self._unacknowledged(worker)
        self.redelivered.update(counts)
        if wipe:
            shutil.rmtree(self.chain.supervisor.data_folder(*place(worker)))
        told = ", ".join(f"{count} of {name}" for name, count in sorted(counts.items())) or "none"
        self.say(f"  {worker} (pid {pid}) died with records in hand that are not acknowledged: {told}")

    def _await_death(self, pid: int) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(ProcessLookupError):
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    time.sleep(0.005)
                    continue
            return
        raise Failed(f"process {pid} outlives SIGKILL")

    def _unacknowledged(self, worker: str) -> dict[str, int]:
        """Records that a dead worker had in hand, for each of its stages, and that nobody has committed."""
        role, _ = place(worker)
        group = names.group_id(role, self.chain.settings.topic_prefix)
        counts = {}
        for stage in (stage for stage in STAGES if stage.role == role):
            held = self.chain.journal(worker, stage)
            records = [name.rsplit("/", 2) for name in held]
            if records and held != self._left.get((worker, stage.name)):
                topic = names.topic("ztf", stage.source, self.chain.settings.topic_prefix)
                done = committed(self.chain.settings, group, {topic: self.chain.settings.partitions})
                counts[stage.name] = sum(int(at) >= done.get((topic, int(p)), 0) for _, p, at in records)
            self._left[worker, stage.name] = held
        return {name: count for name, count in counts.items() if count}

    def _kill_in_rebalance(self, stage: Stage) -> None:
        first = self._busy(stage)
        self._kill(first)
        workers = [f"{stage.role}-{index}" for index in range(self.chain.workers[stage.role])]
        self.chain.tend(lambda: self._rebalancing(stage.role), 60, f"a rebalance of {stage.role}")
        self.say(f"  {stage.role} rebalances")
        self.chain.rest(self.chance.uniform(0.0, 1.0))
        self._kill(next(worker for worker in workers if worker != first))

    def _rebalancing(self, role: str) -> bool:
        group = names.group_id(role, self.chain.settings.topic_prefix)
        (future,) = admin(self.chain.settings).describe_consumer_groups([group], request_timeout=TIMEOUT).values()
        return future.result().state in _REBALANCING

    def _freeze(self, worker: str) -> None:
        pid = self._signal(worker, signal.SIGSTOP)
        try:
            self.chain.rest(2 * self.chain.settings.session_timeout)
        finally:
            self._signal(worker, signal.SIGCONT)
        self.say(f"  {worker} (pid {pid}) goes on")

    def _restart_service(self, name: str) -> None:
        kill = self.chance.random() < 0.5
        self.away = True
        services.stop(self.services, name, kill=kill)  # type: ignore[arg-type]
        self.chain.rest(1.0)
        services.start(self.services, name)  # type: ignore[arg-type]
        self.say(f"  {name} was {'killed' if kill else 'ended'} and runs again")
        self.chain.rest(10.0)  # so long it may take a worker to give up
        self.away = False
