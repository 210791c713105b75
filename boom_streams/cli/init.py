"""``boom-streams init``."""

from __future__ import annotations

import click

from boom_streams.cli.plain import echo

__all__ = ["command"]


@click.command("init")
def command() -> None:
    """Create what is missing in Kafka and MongoDB: topics, collections, indexes.

    Safe at any time: it says what it changed, and changes nothing when all is in place. A topic with
    another number of partitions than the settings say is an error that names the topic.

    \b
    Example:
      boom-streams init
      BOOM_PARTITIONS=16 boom-streams init
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.settings import current_settings

    settings = current_settings()
    from boom_streams.operate.prepare import initialise

    changes = initialise(settings)
    for change in changes:
        echo(change)
    if not changes:
        echo("all is in place")
