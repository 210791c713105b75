"""The delivery guarantee, proven: the broker's workers are killed, frozen and cut off, and nothing is lost or doubled.

    make chaos                          5,000 alerts, all faults
    make chaos SEED=7                   the same choices as a run before
    make chaos ARGS=--short             a few minutes, fewer alerts and faults
    make chaos ARGS=--self-test         the test is tested: it must fail on three broken brokers

One raw log is recorded and given to the broker twice: once in peace, once while random faults hit it, two workers for
each role. Then everything that the two runs left must be equal: the values in every topic, alert by alert, the
documents in every collection, the dead letters, and the tables, those on the workers' disks as well as those rebuilt
from their changelogs on an empty disk. A run in which some stage or sink saw no redelivered record proves nothing, and
fails (`tests.chaos.faults` says how that is known).
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from boom_streams import names, services  # noqa: E402
from boom_streams.cli.signals import interrupt_on_sigterm  # noqa: E402
from boom_streams.settings import Settings, load_settings  # noqa: E402
from boom_streams.supervise import Supervisor  # noqa: E402
from boom_streams.topologies.survey import STAGES  # noqa: E402
from tests.chaos import chain, compare  # noqa: E402
from tests.chaos.chain import Chain, Failed, Feeder  # noqa: E402
from tests.chaos.faults import ROLE, Faults, plan  # noqa: E402
from tests.chaos.log import RawLog, record  # noqa: E402

SHARED = ROOT.parent / "shared"
USER_FILTER = SHARED / "data" / "filters" / "cats150" / "boom_throughput.pipeline.json"
PARTITIONS = 4
SESSION = 6.0
ALERTS, SHORT_ALERTS = 5200, 1200

#: Alerts a second while there are faults.
RATE = 60.0


def main() -> int:
    """Run; 0 if everything is proven."""
    options = _parser().parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    try:
        with interrupt_on_sigterm(), _workplace(options.keep) as place:
            rows = _Test(place, seed, options.short).run()
    except Failed as error:
        print(f"\nFAILED (seed {seed}): {error}")
        return 1
    except KeyboardInterrupt:
        print("\nended by hand; nothing is left running")
        return 130
    return _report(rows, seed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tests/chaos/run.py"
    )
    parser.add_argument("--seed", type=int, help="choices of an earlier run; default: random, and printed")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_ALERTS} alerts and fewer faults")
    parser.add_argument("--keep", action="store_true", help="leave logs and RocksDB folders for looking at")
    return parser


@contextmanager
def _workplace(keep: bool) -> Iterator[Path]:
    """A folder of this run, with a Kafka and a mongod of its own, which end with it."""
    folder = Path(tempfile.mkdtemp(prefix="boom-chaos-"))
    try:
        say("starting Kafka and mongod …")
        services.start(folder)
        yield folder
    finally:
        services.stop(folder, kill=True)
        if keep:
            print(f"logs and tables are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


_START = time.monotonic()


def say(text: str) -> None:
    """Tell what happens, with the seconds since the start."""
    print(f"{time.monotonic() - _START:6.1f}  {text}", flush=True)


class _Test:
    def __init__(self, place: Path, seed: int, short: bool) -> None:
        self.place = place
        self.chance = random.Random(seed)
        self.short = short
        self.rows: list[compare.Row] = []

    def run(self) -> list[compare.Row]:
        alerts = SHORT_ALERTS if self.short else ALERTS
        log = record(ROOT / ".boom" / "nights", SHARED, alerts, PARTITIONS, self.chance, say)
        say(str(log))
        quiet, chaos = self._settings("quiet"), self._settings("chaos")
        filters = chain.prepare(quiet, None, USER_FILTER)
        chain.prepare(chaos, filters, USER_FILTER)
        self._quiet(quiet, log)
        faults = self._faults(chaos, log)
        self._compare(quiet, chaos, log, faults)
        return self.rows

    def _settings(self, name: str) -> Settings:
        running = services.status(self.place)
        endpoint = {each.name: each.endpoint for each in running}
        return load_settings(
            kafka=endpoint["kafka"],
            mongo_uri=endpoint["mongod"],
            mongo_db=name,
            topic_prefix=f"{name}.",
            data_dir=self.place / name,
            partitions=PARTITIONS,
            session_timeout=SESSION,
            archive_patience=120.0,  # a shorter one would let classify go on without old history, as it should
        )

    def _quiet(self, config: Settings, log: RawLog) -> None:
        say("a run without faults …")
        workers = dict.fromkeys(names.ROLES, 1)

        def complain(exited: object) -> None:
            raise Failed(f"a worker exited in the run without faults: {exited}")

        feeder = Feeder(config, log.entries, None)
        with Chain(config, workers, on_exit=complain) as running:
            feeder.start()
            feeder.finish()
            running.drain(feeder)
        say("  done")

    def _faults(self, config: Settings, log: RawLog) -> Faults:
        say("a run with faults, two workers for each role …")
        running = Chain(config, dict.fromkeys(names.ROLES, 2))
        faults = Faults(running, self.place, self.chance, say)
        running._on_exit = faults.on_exit
        planned = plan(self.chance, self.short)
        feeder = Feeder(config, log.entries, RATE)
        try:
            with running:
                feeder.start()
                for number, fault in enumerate(planned, 1):
                    feeder.allow(number / (len(planned) + 1))
                    running.rest(self.chance.uniform(0.5, 3.0))
                    faults.do(fault)
                say("no more faults")
                feeder.finish()
                running.drain(feeder)
        finally:
            feeder.end()
        say("  done")
        return faults

    def _compare(self, quiet: Settings, chaos: Settings, log: RawLog, faults: Faults) -> None:
        say("comparing topics …")
        expected, found = compare.outcome(quiet), compare.outcome(chaos)
        self.rows += compare.compare(log, expected, found)
        say("comparing collections …")
        self.rows += compare.compare_collections(quiet, chaos)
        say("rebuilding the tables from their changelogs on an empty disk …")
        for table in names.TABLES:
            self.rows.append(
                compare.compare_tables(f"{table} on disk", self._on_disk(quiet, table), self._on_disk(chaos, table))
            )
        with self._recovering(quiet), self._recovering(chaos):
            pass
        for table in names.TABLES:
            one, other = (self._on_disk(self._empty(config), table) for config in (quiet, chaos))
            self.rows.append(compare.compare_tables(f"{table} rebuilt", one, other))
            self.rows.append(compare.compare_tables(f"{table} on disk and rebuilt", self._on_disk(chaos, table), other))
        self.rows += _evidence(faults, expected.redelivered(log), found.redelivered(log))

    def _on_disk(self, config: Settings, table: str) -> compare.Table:
        return compare.read_tables(config, [config.data_dir / "workers"], table)

    def _empty(self, config: Settings) -> Settings:
        return config.model_copy(update={"data_dir": self.place / f"{config.mongo_db}-rebuilt"})

    @contextmanager
    def _recovering(self, config: Settings) -> Iterator[None]:
        """Workers that have nothing to do but to recover their tables; at the end they have."""
        roles = sorted({ROLE[stage.name] for stage in STAGES if stage.tables})
        command = ["info" if part == "warn" else part for part in Supervisor(config).command]
        with Chain(self._empty(config), dict.fromkeys(roles, 1), command=command) as running:
            yield
            for role in roles:
                running.tend(lambda role=role: "Worker ready" in running.said(f"{role}-0"), 120, f"recovery of {role}")


def _evidence(faults: Faults, quiet: dict[str, int], seen: dict[str, int]) -> Iterable[compare.Row]:
    """A run without redelivery proves nothing."""
    for stage in ROLE:
        row = compare.Row(f"records of {stage} redelivered", 1, faults.redelivered[stage])
        if not faults.redelivered[stage]:
            row.differ("no worker that was killed had any in hand: run again, this run proves nothing")
        yield row
    for stage, number in seen.items():
        row = compare.Row(f"outputs of {stage} sent again", quiet[stage], number)
        if not number:
            row.differ("no output came twice: run again, this run proves nothing")
        yield row


def _report(rows: Sequence[compare.Row], seed: int) -> int:
    print(f"\n{'':44}{'expected':>10}{'found':>10}{'different':>10}")
    for row in rows:
        print(f"{row.what:44}{row.expected:10}{row.found:10}{row.count or '':>10}")
    wrong = [row for row in rows if row.count]
    for row in wrong:
        print(f"\n{row.what}:")
        print("\n".join(f"  {text}" for text in row.differences))
        if row.count > len(row.differences):
            print(f"  … and {row.count - len(row.differences)} more")
    print(f"\n{'FAILED' if wrong else 'passed'} (seed {seed})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
