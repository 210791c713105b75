"""``boom-streams up``."""

from __future__ import annotations

import click

from boom_streams.cli.plain import echo

__all__ = ["command"]


_COUNT = click.IntRange(0)


@click.command("up")
@click.option("--enrich", type=_COUNT, default=1, show_default=True, help="Workers that enrich.")
@click.option("--classify", type=_COUNT, default=1, show_default=True, help="Workers that classify.")
@click.option("--filter", type=_COUNT, default=1, show_default=True, help="Workers that filter.")
@click.option("--sink", type=_COUNT, default=1, show_default=True, help="Workers that write the archive.")
def command(**workers: int) -> None:
    """Run the workers, each role in processes of its own, and restart what exits.

    Ctrl-C (or SIGTERM) ends them all; a second Ctrl-C at once. Their output is in DATA_DIR/logs,
    their RocksDB folders are in DATA_DIR/workers.

    \b
    Examples:
      boom-streams up
      boom-streams up --enrich 2 --classify 2
      boom-streams up --enrich 0 --classify 0 --filter 0    # sinks only, on another machine
    """  # noqa: D301 - click needs the real backspace
    import threading

    from boom_streams.cli.signals import on_signals
    from boom_streams.operate import layouts
    from boom_streams.operate.prepare import initialise
    from boom_streams.operate.supervise import Exit, Supervisor
    from boom_streams.settings import settings

    config = settings()
    if config.init:
        for change in initialise(config):
            echo(change)
    layouts.check(config, "roles")
    ending = threading.Event()
    supervisor = Supervisor(config, workers)

    def report(exited: Exit) -> None:
        echo(
            f"worker {exited.worker} exited with {exited.code}, again in {exited.wait:g} s; "
            f"its output: {supervisor.log_file(*_place(exited.worker))}",
            err=True,
        )

    with on_signals(ending.set), supervisor:
        echo(f"{len(supervisor.pids())} workers are running; Ctrl-C ends them")
        supervisor.run(ending.is_set, report)
        echo("ending the workers …")


def _place(worker: str) -> tuple[str, int]:
    role, _, index = worker.rpartition("-")
    return role, int(index)
