"""``boom-streams layout``."""

from __future__ import annotations

import click

from boom_streams.cli.plain import echo

__all__ = ["command"]


@click.command("layout")
@click.argument("to", type=click.Choice(["all", "roles"]), required=False)
@click.option("--discard", is_flag=True, help="Where both have offsets: keep this layout's, delete the other's groups.")
def command(to: str | None, discard: bool) -> None:
    """Show the layout of workers, or move the committed offsets to the other.

    `all` is one process that does everything (`faust -A boom_streams worker`), `roles` has a group
    for each role (`boom-streams up`). Tables stay as they are: their changelogs have the same names
    in both. Everything must be stopped; nothing is lost, and what is delivered again changes nothing.

    \b
    Examples:
      boom-streams layout
      boom-streams layout roles
      boom-streams layout roles --discard    # after workers of both layouts have run
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.operate import layouts
    from boom_streams.settings import current_settings

    settings = current_settings()
    if to is None and discard:
        raise click.UsageError("--discard needs the layout whose offsets are kept: all or roles")
    if to is None:
        echo(layouts.current(settings) or "none yet: no worker has committed an offset")
        for group, count in layouts.members(settings).items():
            echo(f"group {group}: {count} workers")
        return
    changes = layouts.discard(settings, to) if discard else layouts.move(settings, to)
    for change in changes:
        echo(change)
    if not changes:
        echo(f"nothing to {'discard' if discard else 'move'}: no group of the other layout than `{to}` has offsets")
