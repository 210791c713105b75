"""What is measured, in its order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks import catalogs, measure, night, yardstick
from benchmarks import latency as latencies
from benchmarks import profile as profiles
from benchmarks.chain import Chain, Cost, running_services
from boom_streams.services.state import Endpoints
from boom_streams.settings import Settings, load_settings

__all__ = ["Figures", "HistoryCost", "Load", "Plan", "Say", "execute"]

#: Times the history of a packet, and how many alerts are enough to measure it.
_FACTORS, _FACTOR_ALERTS = (1, 3, 10), 1000

#: Parts of the full rate at which an alert's cost is measured, and for how long each, seconds; then without alerts.
_LOADS, _LOAD_SECONDS, _IDLE_SECONDS = {"a half": 0.5, "a tenth": 0.1}, 60.0, 20.0

#: History points of the longest packets, and number of such alerts.
_LONG_POINTS, _LONG_ALERTS = 2500, 400


class Say(Protocol):
    """Told what is being done, and how far it is."""

    def __call__(self, doing: str, done: int | None = None, total: int | None = None) -> None:
        """``done`` of ``total``; None: nobody knows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    shared: Path
    folder: Path
    """For data that are gone afterwards."""
    alerts: int
    runs: int
    sets: Sequence[str]
    latency: bool
    history: bool
    profile: bool
    larger: bool
    """Again with ten times the rows of the catalogues."""
    stacks: Path | None = None
    """Where the profile's stacks are kept."""


@dataclass(frozen=True, slots=True)
class HistoryCost:
    """What alerts with a history of some length cost."""

    name: str
    points: float
    """Mean number of history points in a packet."""
    cost: Cost
    archived: float
    """Bytes an object in the archive, before compression."""


@dataclass(frozen=True, slots=True)
class Load:
    """What an alert costs at a part of the full rate."""

    name: str
    rate: float
    """Alerts a second that came in."""
    cost: Cost


@dataclass(slots=True)
class Figures:
    """What was measured."""

    machine: dict[str, str]
    alerts: int
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    yardstick: list[dict[str, float]] = field(default_factory=list)
    """Speed of the machine before each run and after the last, see `benchmarks.yardstick`."""
    latency: latencies.Latency | None = None
    loads: list[Load] = field(default_factory=list)
    """Runs at a part of the full rate."""
    idle: dict[str, float] = field(default_factory=dict)
    """CPU milliseconds a second of each process while nothing comes in."""
    profile: dict[str, profiles.Profile] = field(default_factory=dict)
    history: list[HistoryCost] = field(default_factory=list)
    crossmatch: list[catalogs.Crossmatch] = field(default_factory=list)
    """With the catalogues, and with larger ones."""
    larger: Cost | None = None
    """With the larger catalogues."""


def execute(plan: Plan, say: Say, show: Callable[[Figures, str], None]) -> Figures:
    """Measure; ``show`` is told of each part when its figures are there.

    Raises
    ------
    BoomError
        If a service does not start, a worker exits, or an alert is lost.
    """
    figures = Figures(measure.machine(), plan.alerts)
    show(figures, "machine")
    alerts = _night(plan, say)
    with running_services(plan.folder) as endpoints, tempfile.TemporaryDirectory(dir=plan.folder) as scratch:
        bench = _Bench(plan, say, endpoints, Path(scratch))
        bench.import_catalogs(alerts, figures, 1)
        for filters in plan.sets:
            costs = figures.costs.setdefault(filters, [])
            for number in range(plan.runs):
                figures.yardstick.append(yardstick.measure(alerts.files(plan.alerts), plan.shared / "models"))
                costs.append(bench.cost(f"set {filters}, run {number + 1} of {plan.runs}", alerts, filters))
        figures.yardstick.append(yardstick.measure(alerts.files(plan.alerts), plan.shared / "models"))
        show(figures, "cost")
        if plan.larger:
            bench.import_catalogs(alerts, figures, catalogs.FACTOR)
            figures.larger = bench.cost(f"{catalogs.FACTOR} x the catalogues", alerts, plan.sets[0])
            bench.forget_catalogs()
        show(figures, "catalogs")
        if plan.latency:
            full = sorted(cost.per_second for cost in figures.costs[plan.sets[0]])[plan.runs // 2]
            bench.loads(alerts, full, figures)
            show(figures, "latency")
        if plan.profile:
            figures.profile = bench.profile(alerts)
            show(figures, "profile")
        if plan.history:
            bench.histories(alerts, figures.history)
            show(figures, "history")
    return figures


@dataclass(slots=True)
class _Bench:
    plan: Plan
    say: Say
    endpoints: Endpoints
    scratch: Path
    catalogs: list[Settings] = field(default_factory=list)
    """Brokers whose databases hold the catalogues; the last one's are in use."""

    def import_catalogs(self, alerts: night.Night, figures: Figures, factor: int) -> None:
        """Import catalogues, use them in what follows, and measure matching alone."""
        doing = "catalogues" if factor == 1 else f"{factor} x the catalogues"
        self.say(f"making {doing}, once")
        script = self.plan.shared / "bench" / "make_catalogs.py"
        folder = catalogs.make(alerts.first[0].parent, script, factor)
        settings = load_settings(
            mongo_uri=self.endpoints.mongo_uri,
            mongo_db=f"catalogs_{factor}",
            data_dir=self.scratch / f"import-{factor}",
        )
        catalogs.load(settings, folder, self.say)
        self.catalogs.append(settings)
        self.say(f"matching with {doing}")
        files = alerts.first[: self.plan.alerts // 2]
        figures.crossmatch.append(
            catalogs.crossmatch(settings, night.positions(files), self.scratch / f"tiles-{factor}")
        )

    def forget_catalogs(self) -> None:
        """Use the catalogues from before again."""
        self.catalogs.pop()

    def cost(self, doing: str, alerts: night.Night, filters: str) -> Cost:
        """Run once at full speed."""
        return self._run(doing, alerts, alerts.files(self.plan.alerts), filters)

    def loads(self, alerts: night.Night, full: float, figures: Figures) -> None:
        """Run at parts of the full rate, then idle; latencies are of half the rate."""
        files = alerts.files(self.plan.alerts)
        with self._chain("at a part of the full rate", self.plan.sets[0]) as chain:
            chain.warm_up(alerts)
            for name, part in _LOADS.items():
                rate = full * part
                count = min(len(files), int(rate * _LOAD_SECONDS))
                doing = f"{name} of the full rate, {rate:.0f} alerts/s"
                marks = chain.marks()
                chosen, files = files[:count], files[count:]
                cost = chain.run(chosen, self._progress(doing, len(chosen)), rate)
                figures.loads.append(Load(name, rate, cost))
                if figures.latency is None:
                    figures.latency = latencies.collect(chain.settings, marks, rate)
            self.say("idle")
            figures.idle = chain.idle(_IDLE_SECONDS)

    def profile(self, alerts: night.Night) -> dict[str, profiles.Profile]:
        """Run once more, sampled."""
        folder = (self.plan.stacks or self.scratch / "stacks").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self._run("profile", alerts, alerts.files(self.plan.alerts), self.plan.sets[0], folder)
        return profiles.read(folder, self.plan.alerts)

    def histories(self, alerts: night.Night, found: list[HistoryCost]) -> None:
        """Run nights with longer histories."""
        most = self.plan.alerts
        for factor in _FACTORS:
            found.append(self._history(alerts, f"{factor} x the history", min(most, _FACTOR_ALERTS), factor, None))
        long = min(most, _LONG_ALERTS)
        found.append(self._history(alerts, f"{_LONG_POINTS} points", long, 1, _LONG_POINTS))

    def _history(self, alerts: night.Night, name: str, count: int, factor: int, points: int | None) -> HistoryCost:
        self.say(f"making alerts: {name}")
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            made, mean = night.long_history(alerts, Path(folder) / "night", count, factor, points)
            with self._chain(name, self.plan.sets[0]) as chain:
                chain.warm_up(made)
                warm = chain.archived_bytes()
                cost = chain.run(made.files(count), self._progress(name, count))
                return HistoryCost(name, mean, cost, (chain.archived_bytes() - warm) / (count // 2))

    def _run(
        self, doing: str, alerts: night.Night, files: Sequence[Path], filters: str, stacks: Path | None = None
    ) -> Cost:
        with self._chain(doing, filters, stacks) as chain:
            chain.warm_up(alerts)
            return chain.run(files, self._progress(doing, len(files)))

    def _chain(self, doing: str, filters: str, stacks: Path | None = None) -> Chain:
        self.say(f"{doing}: workers are starting")
        return Chain(self.endpoints, self.scratch, self.plan.shared, filters, self.catalogs[-1], stacks)

    def _progress(self, doing: str, total: int) -> Callable[[int], None]:
        most = 0

        def progress(left: int) -> None:
            nonlocal most
            most = max(most, left)
            self.say(f"{doing}: records left to the stages and sinks", most - left, most)

        return progress


def _night(plan: Plan, say: Say) -> night.Night:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boom_streams" / "nights"
    files = plan.alerts + 2 * night.WARM_OBJECTS

    def progress(made: int) -> None:
        say("making the night, once", made, files)

    return night.make(cache, plan.shared / "bench" / "make_night.py", plan.alerts, progress)
