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
import functools
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

from boom_streams import services  # noqa: E402
from boom_streams.cli.signals import interrupt_on_sigterm  # noqa: E402
from boom_streams.operate.supervise import Exit, Supervisor  # noqa: E402
from boom_streams.settings import Settings, load_settings  # noqa: E402
from boom_streams.topologies.survey import ROLES, STAGES, TABLES  # noqa: E402
from tests.chaos import catalogs, chain, compare  # noqa: E402
from tests.chaos.broken import MODES  # noqa: E402
from tests.chaos.chain import Chain, Failed, Feeder  # noqa: E402
from tests.chaos.faults import Fault, Faults, plan  # noqa: E402
from tests.chaos.log import record  # noqa: E402
from tests.chaos.past import add_past  # noqa: E402

SHARED = ROOT.parent / "shared"
USER_FILTER = SHARED / "data" / "filters" / "cats150" / "boom_throughput.pipeline.json"
PARTITIONS = 4
SESSION = 6.0
ALERTS, SHORT, SELF_TEST_ALERTS = 5000, 1200, 500

#: Alerts a second while there are faults.
RATE = 60.0


def main() -> int:
    """Run; 0 if everything is proven."""
    options = _parser().parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    try:
        with interrupt_on_sigterm(), _workplace(options.keep) as place:
            test = _Test(place, seed, SELF_TEST_ALERTS if options.self_test else SHORT if options.short else ALERTS)
            if options.self_test:
                return _self_test(test)
            rows = test.run(plan(test.chance, options.short))
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
    parser.add_argument("--short", action="store_true", help=f"{SHORT} alerts and fewer faults")
    parser.add_argument("--self-test", action="store_true", help="let it find out what is broken on purpose")
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
    """One raw log, a run of it without faults, and any number with faults."""

    def __init__(self, place: Path, seed: int, alerts: int) -> None:
        self.place = place
        self.chance = random.Random(seed)
        self.log = record(ROOT / ".boom" / "nights", SHARED, alerts, PARTITIONS, self.chance, say)
        say(str(self.log))
        self.catalog = catalogs.make(place / "catalog", self.log, self.chance)
        self.quiet = self._settings("quiet")
        self.filters = chain.prepare(self.quiet, None, USER_FILTER)
        self.catalog.put(self.quiet, 0)
        say(f"{add_past(self.quiet, self.log)} objects have a past that only the archive knows")
        self._run_quiet()

    def run(self, faults: Sequence[Fault], mode: str = "", workers: int = 2) -> list[compare.Row]:
        """Run the log with faults, and compare; in a mode of `tests.chaos.broken` with broken workers."""
        chaos = self._settings(mode or "chaos")
        chain.prepare(chaos, self.filters, USER_FILTER)
        self.catalog.put(chaos, 0)
        add_past(chaos, self.log)
        done = self._run_faults(chaos, faults, mode, workers)
        say("comparing topics …")
        expected, found = compare.outcome(self.quiet), compare.outcome(chaos)
        rows = list(compare.compare(self.log, expected, found))
        say("comparing collections …")
        rows += compare.compare_collections(self.quiet, chaos, but=catalogs.COLLECTIONS)
        say("matching by brute force …")
        rows += self.catalog.check(chaos)
        say("rebuilding the tables from their changelogs on an empty disk …")
        rows += self._compare_tables(chaos)
        if not mode:
            rows += _evidence(done, expected.redelivered(self.log), found.redelivered(self.log))
        return rows

    def _settings(self, name: str) -> Settings:
        endpoint = {each.name: each.endpoint for each in services.status(self.place)}
        return load_settings(
            kafka=endpoint["kafka"],
            mongo_uri=endpoint["mongod"],
            mongo_db=name,
            topic_prefix=f"{name}.",
            data_dir=self.place / name,
            partitions=PARTITIONS,
            session_timeout=SESSION,
            archive_patience=300.0,  # a shorter one would let classify go on without old history, as it should
            models_dir=SHARED / "models",
            **self.catalog.settings(),
            filter_timeout_ms=60_000,  # a shorter one would suspend a filter on a machine with too much to do
        )

    def _run_quiet(self) -> None:
        say("a run without faults …")

        def complain(exited: Exit) -> None:
            raise Failed(f"a worker exited in the run without faults: {exited}")

        feeder = Feeder(self.quiet, self.log.entries, None)
        with Chain(self.quiet, dict.fromkeys(ROLES, 1), on_exit=complain) as running:
            feeder.start()
            feeder.finish()
            running.drain(feeder)
        say("  done")

    def _run_faults(self, settings: Settings, planned: Sequence[Fault], mode: str, workers: int) -> Faults:
        say(f"a run with {len(planned)} faults, {workers} workers for each role …")
        command = (sys.executable, "-m", "tests.chaos.broken", mode, "worker", "-l", "warn", "--without-web")
        running = Chain(settings, dict.fromkeys(ROLES, workers), command=command if mode else None)
        feeder = Feeder(settings, self.log.entries, RATE)
        some = len(self.log.entries) // (2 * len(planned) + 4)
        faults = Faults(running, self.place, self.chance, say, lambda: feeder.more(max(1, some // 8)))
        running.on_exit = faults.on_exit
        try:
            with running:
                feeder.start()
                for number, fault in enumerate(planned):
                    if number == len(planned) // 2:
                        say("another version of the catalogue takes the first one's place")
                        self.catalog.put(settings, 1)
                    feeder.more(some)
                    running.rest(self.chance.uniform(0.5, 3.0))
                    faults.do(fault)
                for stage in () if mode else STAGES:
                    if not faults.redelivered[stage.name]:
                        faults.do(Fault("kill", stage))
                say(f"no more faults; {feeder.written} of {len(feeder.entries)} records were fed so far")
                feeder.finish()
                running.drain(feeder)
        finally:
            feeder.end()
        say("  done")
        return faults

    def _compare_tables(self, chaos: Settings) -> Iterator[compare.Row]:
        with self._recovering(self.quiet), self._recovering(chaos):
            pass
        for table in TABLES:
            quiet, live = self._on_disk(self.quiet, table), self._on_disk(chaos, table)
            yield compare.compare_tables(f"{table} on disk", quiet, live)
            rebuilt = self._on_disk(_empty(chaos), table)
            yield compare.compare_tables(f"{table} rebuilt", self._on_disk(_empty(self.quiet), table), rebuilt)
            yield compare.compare_tables(f"{table} on disk and rebuilt", live, rebuilt)

    def _on_disk(self, settings: Settings, table: str) -> compare.Table:
        return compare.read_tables(settings, [settings.data_dir / "workers"], table)

    @contextmanager
    def _recovering(self, settings: Settings) -> Iterator[None]:
        """Workers that have nothing to do but to recover their tables; at the end they have."""
        roles = sorted({stage.role for stage in STAGES if stage.tables})
        command = ["info" if part == "warn" else part for part in Supervisor(settings).command]
        with Chain(_empty(settings), dict.fromkeys(roles, 1), command=command) as running:
            yield
            for role in roles:
                running.tend(
                    functools.partial(running.has_said, f"{role}-0", "Worker ready"), 120, f"recovery of {role}"
                )


def _empty(settings: Settings) -> Settings:
    """The same broker, on an empty disk."""
    return settings.model_copy(update={"data_dir": settings.data_dir.with_name(f"{settings.data_dir.name}-rebuilt")})


def _self_test(test: _Test) -> int:
    """The test must fail on each broken broker, and pass on one that is as slow and not broken."""
    faults = [Fault(kind, stage) for kind in ("late", "late", "wipe") for stage in STAGES if stage.tables]
    wrong = 0
    found: dict[str, str] = {}
    for mode in MODES:
        say(f"== {mode}")
        try:
            rows = [row for row in test.run(faults, mode, workers=1) if row.count]
            found[mode] = "; ".join(f"{row.what}: {row.count} differ, {row.differences[0]}" for row in rows)[:400]
        except Failed as error:
            if "exited by itself" in str(error) and "with 70;" not in str(error):
                raise  # it is the mode that is broken
            found[mode] = f"{str(error).partition(';')[0]}: … {str(error)[-300:]}"
        wrong += bool(found[mode]) == mode.startswith("slow-")
    for mode, text in found.items():
        print(f"\n{mode}: {'must pass' if mode.startswith('slow-') else 'must fail'}; {text or 'passes'}")
    print(f"\n{'FAILED' if wrong else 'passed'}")
    return 1 if wrong else 0


def _evidence(faults: Faults, quiet: dict[str, int], seen: dict[str, int]) -> Iterable[compare.Row]:
    """A run without redelivery proves nothing."""
    for stage in STAGES:
        row = compare.Row(f"records of {stage.name} redelivered", 0, faults.redelivered[stage.name])
        if not row.found:
            row.differ("no worker that was killed had any in hand: this run proves nothing, run it again")
        yield row
    for name, number in seen.items():
        yield compare.Row(f"outputs of {name} sent again", quiet[name], number)
    row = compare.Row("outputs sent again", sum(quiet.values()), sum(seen.values()))
    if row.found <= row.expected:
        row.differ("no output came twice: this run proves nothing, run it again")
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
