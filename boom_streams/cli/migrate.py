"""``boom-streams migrate``."""

from __future__ import annotations

import click

from boom_streams.cli.plain import echo

__all__ = ["command"]


@click.command("migrate")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(dry_run: bool, quiet: bool) -> None:
    """Bring an archive that an earlier release wrote to the formats of this one.

    All workers must be stopped. Make a backup first: the earlier release cannot use the archive any more. A run that
    was cut off is run again, and goes on where it stood. Topics and tables need nothing: workers read what is left in
    them of the earlier release. See docs/upgrades.md.

    \b
    Examples:
      boom-streams migrate --dry-run
      boom-streams migrate
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.archive import migrations, mongo
    from boom_streams.cli.progress import steps
    from boom_streams.operate import layouts
    from boom_streams.settings import current_settings

    settings = current_settings()
    database = mongo.database(settings)
    if dry_run:
        tasks = migrations.plan(database, settings.surveys)
    else:
        layouts.refuse_workers(settings)
        with steps("migrate", not quiet) as progress:
            tasks = migrations.migrate(database, settings.surveys, progress)
    for task in tasks:
        echo(f"{'would be done' if dry_run else 'done'}: {task}")
    if not tasks:
        echo("nothing to do: the archive has the formats of this release")
