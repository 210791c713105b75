"""``boom-streams up``."""

from __future__ import annotations

import click

from boom_streams.cli.plain import echo

__all__ = ["command"]


@click.command("up")
@click.option(
    "--workers",
    "choices",
    metavar="ROLE=N",
    multiple=True,
    help="Workers of a role, instead of what the machine's cores suggest; may be repeated.",
)
def command(choices: tuple[str, ...]) -> None:
    """Run the workers, each role in processes of its own, and restart what exits.

    Roles are enrich, classify, filter and sink. Without --workers each gets as many processes as it needs to be no
    slower than the machine: its share of an alert's cost, in cores, at least one and never more than partitions. On 2
    cores these are 2 that classify, which is half of the cost, and 1 of each other.

    Ctrl-C (or SIGTERM) ends them all; a second Ctrl-C at once. Their output is in DATA_DIR/logs,
    their RocksDB folders are in DATA_DIR/workers.

    \b
    Examples:
      boom-streams up
      boom-streams up --workers enrich=2 --workers classify=4
      boom-streams up --workers enrich=0,classify=0,filter=0    # sinks only, on another machine
    """  # noqa: D301 - click needs the real backspace
    import threading

    from boom_streams.cli.signals import on_signals
    from boom_streams.operate import layouts
    from boom_streams.operate.division import cores, divide
    from boom_streams.operate.prepare import check_archive, initialise
    from boom_streams.operate.supervise import Exit, Supervisor
    from boom_streams.settings import current_settings

    settings = current_settings()
    workers = divide(cores(), settings.partitions, _chosen(choices, settings.partitions))
    ending = threading.Event()
    supervisor = Supervisor(settings, workers)

    def report(exited: Exit) -> None:
        echo(
            f"worker {exited.worker} exited with {exited.code}, again in {exited.wait:g} s; "
            f"its output: {supervisor.log_file(*_place(exited.worker))}",
            err=True,
        )
        if exited.code == 1 and (said := supervisor.last_words(*_place(exited.worker))):  # only a person can help
            echo(f"it said: {said}", err=True)

    check_archive(settings, needed=False)
    if settings.init:
        for change in initialise(settings):
            echo(change)
    layouts.check(settings, "roles")
    with on_signals(ending.set), supervisor:
        listed = ", ".join(f"{count} {role}" for role, count in workers.items())
        echo(f"{len(supervisor.pids())} workers are running ({listed}); Ctrl-C ends them")
        supervisor.run(ending.is_set, report)
        echo("ending the workers …")


def _chosen(choices: tuple[str, ...], partitions: int) -> dict[str, int]:
    """Numbers of workers by role, of ``classify=2`` and ``enrich=0,sink=1``."""
    from boom_streams.topologies.survey import ROLES

    chosen = {}
    for choice in ",".join(choices).split(",") if choices else ():
        role, _, count = choice.strip().partition("=")
        if role not in ROLES or not count.isdecimal():
            raise click.BadParameter(
                f"{choice!r} is not ROLE=N with a role of {', '.join(ROLES)}", param_hint="--workers"
            )
        if int(count) > partitions:
            raise click.BadParameter(
                f"{choice}: the topics have {partitions} partitions, more workers would have nothing to do",
                param_hint="--workers",
            )
        chosen[role] = int(count)
    return chosen


def _place(worker: str) -> tuple[str, int]:
    role, _, index = worker.rpartition("-")
    return role, int(index)
