"""Workers of this folder as processes, and what they made of their records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from boom_streams import names
from boom_streams.kafka import clients, topics
from boom_streams.kafka.offsets import committed, watermarks
from boom_streams.kafka.reading import scan
from boom_streams.kafka.writer import Writer
from boom_streams.operate.supervise import environment
from boom_streams.settings import Settings
from boom_streams.tables.store import source_key, stored_items
from tests.delivery.worker import STAGE, TABLE, Gates
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]

__all__ = ["STAGE", "Bench"]


class Bench:
    """Topics of one test, its workers, and what is in Kafka and RocksDB afterwards."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.gates = Gates(folder / "gates")
        self.gates.folder.mkdir(parents=True)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.raw = names.topic("ZTF", "raw", settings.topic_prefix)
        self.enriched = names.topic("ZTF", "enriched", settings.topic_prefix)
        self.dead = names.topic("ZTF", "dead", settings.topic_prefix)
        self.changelog = names.changelog_topic(TABLE, settings.topic_prefix)
        self.group = names.group_id(settings.role, settings.topic_prefix)
        topics.ensure_topics(settings)

    def produce(self, tasks: Iterable[dict[str, Any]]) -> None:
        """Append tasks to ``raw``, in the partition that each names (0)."""
        writer = Writer(self.settings)
        for task in tasks:
            writer.send(self.raw, json.dumps(task).encode(), task["key"].encode(), task.get("partition", 0))
        writer.finish()

    def start(self, name: str = "a", **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker with a folder of its own."""
        data = self.folder / name
        data.mkdir(exist_ok=True)
        variables = {
            **os.environ,
            **environment(self.settings),
            "BOOM_INIT": "false",
            "APP_DATADIR": str(data),
            "GATES": str(self.gates.folder),
            "PYTHONPATH": str(ROOT),
            **variables,
        }
        command = [sys.executable, "-m", "tests.delivery.worker", "worker", "-l", "warn", "--without-web"]
        with self.log(name).open("ab") as output:
            worker = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT)
        self.workers.append(worker)
        return worker

    def log(self, name: str = "a") -> Path:
        """Log of the workers of a name."""
        return self.folder / f"{name}.log"

    def stop(self) -> None:
        """Kill what still runs."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()

    def end(self, worker: subprocess.Popen[bytes], seconds: float = 20.0) -> int:
        """Ask a worker to end; return its exit code."""
        worker.send_signal(signal.SIGTERM)
        return worker.wait(seconds)

    def run_until_committed(self, name: str = "a", **variables: str) -> None:
        """Run a worker until everything is acknowledged, and end it."""
        worker = self.start(name, **variables)
        self.wait_committed(worker)
        assert self.end(worker) == 0, self.log(name).read_text()[-3000:]

    def wait_committed(self, *workers: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
        """Wait until the committed offsets are the ends of ``raw``; the workers must live on."""

        def done() -> bool:
            for worker in workers:
                assert worker.poll() is None, f"a worker exited with {worker.returncode}: {self._logs()}"
            return self.is_committed()

        wait_for(done, f"everything acknowledged\n{self._logs()}", seconds)

    def is_committed(self) -> bool:
        """Whether the committed offsets are the ends of ``raw``."""
        ends = watermarks(self.settings, self._counts(self.raw))
        return self.committed() == {place: high for place, (_, high) in ends.items() if high}

    def committed(self) -> dict[tuple[str, int], int]:
        """Committed offsets of ``raw``."""
        found = committed(self.settings, self.group, self._counts(self.raw))
        return {place: offset for place, offset in found.items() if offset > 0}

    def wait_gate(self, name: str) -> None:
        """Wait until a worker stands at a gate."""
        wait_for((self.gates.folder / f"{name}.reached").exists, f"gate {name}; {self._logs()}")

    def open_gate(self, name: str) -> None:
        """Let workers pass a gate from now on."""
        (self.gates.folder / f"{name}.open").touch()

    def ids(self, partition: int | None = None) -> list[int]:
        """Ids of the records in ``enriched``, in their order."""
        messages = scan(self.settings, [self.enriched])
        return [json.loads(m.value())["id"] for m in messages if partition in (None, m.partition())]

    def limit(self, topic: str, size: int) -> None:
        """Set the largest batch that a topic takes, bytes."""
        entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        for future in clients.admin(self.settings).incremental_alter_configs([resource]).values():
            future.result(10)

    def dead_letters(self) -> list[Any]:
        """Records in ``dead``."""
        return list(scan(self.settings, [self.dead]))

    def rebuilt(self) -> dict[str, list[int]]:
        """The table from its changelog alone, which must not hold a value older than one before."""
        values: dict[bytes, bytes] = {}
        for message in scan(self.settings, [self.changelog]):
            if message.key() != source_key(self.raw):
                values[message.key()] = message.value()
        return {key.decode(): json.loads(value[8:]) for key, value in sorted(values.items())}

    def changelog_offsets(self) -> list[int]:
        """Source offsets of the changelog's records, in their order."""
        return [int.from_bytes(m.value()[:8], "big") for m in scan(self.settings, [self.changelog])]

    def stored(self, name: str = "a") -> dict[str, list[int]]:
        """The table in the RocksDB of a worker that has ended."""
        items = stored_items(self.folder / name, TABLE)
        return {key.decode(): json.loads(value) for key, value in sorted(items)}

    def _counts(self, topic: str) -> dict[str, int]:
        return {topic: self.settings.partitions}

    def _logs(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text()[-2500:]}" for path in sorted(self.folder.glob("*.log")))
