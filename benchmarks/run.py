"""``make bench``: the command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # started as a file: its folder is on the path, and the package is above it
    sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from benchmarks.plan import Plan, Say

__all__ = ["main"]


@click.command()
@click.option("--alerts", type=click.IntRange(20), default=10_000, show_default=True, help="Alerts of the night.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Runs; their medians are shown.")
@click.option("--set", "only", type=click.Choice(["a", "b"]), help="One set of filters; by default both.")
@click.option("--quick", is_flag=True, help="One run with set a, and only its cost.")
@click.option("--no-latency", is_flag=True, help="Leave out the latency at half the rate.")
@click.option("--no-history", is_flag=True, help="Leave out the runs with longer histories.")
@click.option("--no-larger", is_flag=True, help="Leave out the run with ten times the rows of the catalogues.")
@click.option("--profile", type=click.Path(path_type=Path, file_okay=False), help="Write stacks to this folder.")
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures to a file.")
def main(
    alerts: int,
    runs: int,
    only: str | None,
    quick: bool,
    no_latency: bool,
    no_history: bool,
    no_larger: bool,
    profile: Path | None,
    file: Path | None,
) -> None:
    """Measure what an alert costs in each process, how many pass a second, and how long one takes.

    Starts a Kafka, a mongod and the workers for itself alone, and makes a night of ZTF alerts once
    (kept in ~/.cache/boom_streams). Progress goes to stderr, figures to stdout; the last line is
    `total` and the CPU milliseconds an alert of filter set a, over every process.

    \b
    Examples:
      make bench
      make bench ARGS='--quick --alerts 2000'
      make bench ARGS='--no-latency --no-history --profile /tmp/stacks'
    """  # noqa: D301 - click needs the real backspace
    from benchmarks import plan
    from boom_streams.cli.signals import interrupt_on_sigterm
    from boom_streams.errors import BoomError

    shared = ROOT.parent / "shared"
    if not (shared / "bench" / "make_night.py").is_file():
        click.echo(
            f"nothing was measured: the night is made from real alerts in {shared}, which is not there", err=True
        )
        return
    sets = ("a",) if quick else (only,) if only else ("a", "b")
    wanted = plan.Plan(
        shared=shared,
        folder=ROOT / ".boom" / "bench",
        alerts=alerts - alerts % 2,
        runs=1 if quick else runs,
        sets=sets,
        latency=not (quick or no_latency),
        history=not (quick or no_history),
        larger=not (quick or no_larger),
        stacks=profile,
        profile=profile is not None or not quick,
    )
    try:
        with interrupt_on_sigterm(), _progress() as say:
            _measure(wanted, say, file)
    except BoomError as error:
        raise click.ClickException(str(error)) from None


def _measure(wanted: Plan, say: Say, file: Path | None) -> None:
    from benchmarks import plan, report

    figures = plan.execute(wanted, say, report.show)
    if file is not None:
        file.write_text(report.as_json(figures))
    click.echo(report.last_line(figures))


@contextmanager
def _progress() -> Iterator[Say]:
    """Show what is being done, and how far it is, on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as display:
        bar = display.add_task("starting", total=None, text="")

        def say(doing: str, done: int | None = None, total: int | None = None) -> None:
            text = "" if done is None or total is None else f"{done} of {total}"
            display.update(bar, description=doing, completed=done or 0, total=total, text=text)

        yield say


if __name__ == "__main__":
    main()
