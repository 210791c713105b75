"""``boom-streams demo``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from boom_streams.cli.pages import PAGE, filter_descriptions, make_page, night_name, save_page
from boom_streams.cli.plain import echo, plain

if TYPE_CHECKING:
    from boom_streams.demo.night import DemoNight
    from boom_streams.demo.run import Outcome, Report
    from boom_streams.settings import Settings

__all__ = ["command"]


@click.command("demo")
@click.argument("night", nargs=-1, type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(1), help="Most alerts to replay.")
@click.option("--keep", is_flag=True, help="Leave Kafka and MongoDB running at the end.")
@click.option("--rows", type=click.IntRange(0), default=40, help="Most rows of the table at the end.")
@click.option("--page", type=PAGE, help="Where the HTML page goes; else demo/<night>.html in the data folder.")
@click.option("--no-page", is_flag=True, help="Write no HTML page.")
def command(
    night: tuple[Path, ...], limit: int | None, keep: bool, rows: int, page: Path | None, no_page: bool
) -> None:
    """Send a night of ZTF alerts through the whole broker, and show what passed.

    Starts Kafka, MongoDB and the workers, activates the example filters, replays NIGHT (folders,
    .avro files, .tar.gz archives), matches and classifies it with the catalogues and models that are
    there or can be had, waits for the last stage, and ends all that it started. Ctrl-C
    ends it at any time. What passed is shown as a table, and with stamps and light curves on an HTML
    page. Data and logs are in the data folder (.boom, or BOOM_DATA_DIR).

    Without NIGHT it takes a small night from the public archive of ZTF, or, where that cannot be
    had, makes one up.

    \b
    Examples:
      boom-streams demo
      boom-streams demo ztf_public_20240617.tar.gz
      boom-streams demo night/ --limit 1000 --keep
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.cli.signals import interrupt_on_sigterm
    from boom_streams.demo import run as demo
    from boom_streams.demo.resources import import_catalogs, install_models
    from boom_streams.ingest.files import find_sources

    with interrupt_on_sigterm():
        catalogs = None
        if not night:
            chosen = _some_night()
            night, catalogs = (chosen.path,), chosen.catalogs
        find_sources(night)  # a wrong path is told before anything starts
        echo("starting Kafka and MongoDB …")
        with demo.running_services(keep) as settings, _progress() as report:
            install_models(settings, report.say)
            import_catalogs(settings, catalogs, report.say)
            outcome = demo.run(settings, "ZTF", night, report, limit)
            html = "" if no_page else _make_page(settings, night, outcome)
    _show(outcome, rows)
    if html:
        target = page if page is not None else settings.data_dir / "demo" / f"{night_name(night)}.html"
        echo(f"stamps, light curves, matches and scores: {save_page(html, target)}")


def _make_page(settings: Settings, night: tuple[Path, ...], outcome: Outcome) -> str:
    """Make the page while the archive runs."""
    from boom_streams.page import Night

    stages = {
        "alerts in": outcome.replayed.alerts,
        "enriched": outcome.stages["enriched"],
        "classified": outcome.stages["classified"],
        "passed a filter": outcome.stages["filtered"],
        "dead letters": outcome.stages["dead"],
    }
    about = Night(night_name(night), stages, outcome.seconds, filter_descriptions(settings, "ZTF"))
    return make_page(settings, about, outcome.alerts)


def _some_night() -> DemoNight:
    """Find a night when none is named, and say which it is and why."""
    from boom_streams.cli.progress import download_bar
    from boom_streams.demo.night import find_night
    from boom_streams.settings import current_settings

    with download_bar("the night") as progress:
        chosen = find_night(current_settings().data_dir, progress=progress)
    echo(chosen.told)
    return chosen


@contextmanager
def _progress() -> Iterator[Report]:
    """Show bars for the replay and for what is left to the stages, on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from boom_streams.demo.run import Report
    from boom_streams.ingest.replay import Counts

    columns = (TextColumn("{task.description:8}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True)) as display:
        bar = display.add_task("replay", total=None, text="workers are starting")
        stages = display.add_task("stages", total=None, text="", visible=False)
        most = 0

        def replayed(counts: Counts) -> None:
            text = f"{counts.alerts} alerts, {counts.per_second:.0f}/s"
            display.update(bar, completed=counts.consumed, total=counts.total, text=text)

        def left(count: int) -> None:
            nonlocal most
            most = max(most, count)
            text = f"{count} records are left to the stages and sinks"
            display.update(stages, completed=most - count, total=most or None, text=text, visible=True)

        def say(text: str) -> None:
            display.console.print(plain(text, lines=True), highlight=False, markup=False, soft_wrap=True)

        yield Report(say, replayed, left)


def _show(outcome: Outcome, rows: int) -> None:
    from boom_streams.cli.tables import passing_table, show

    replayed, stages = outcome.replayed, outcome.stages
    echo(
        f"alerts in: {replayed.alerts}, enriched: {stages['enriched']}, classified: {stages['classified']}, "
        f"filtered: {stages['filtered']}, dead letters: {stages['dead']}"
    )
    echo(f"{outcome.seconds:.1f} s, {outcome.per_second:.0f} alerts/s through every stage")
    for problem in replayed.problems:
        echo(f"not read to its end: {problem}", err=True)
    passed = [row for alert in outcome.alerts for row in alert.rows()]
    if not passed:
        echo("no alert passed a filter")
        return
    show(passing_table(passed[:rows], f"{len(outcome.alerts)} alerts passed; a line for each filter"))
    if len(passed) > rows:
        echo(f"and {len(passed) - rows} more lines; `boom-streams consume NAME` shows those of a filter")
