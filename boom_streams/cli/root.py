"""The command ``boom-streams``.

Command modules import only click at the top, and the rest when a command runs, so that ``--help`` is instant.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import click

from boom_streams.cli.explain import explain
from boom_streams.cli.plain import plain

__all__ = ["COMMANDS", "cli", "main"]

#: Commands in the order in which a newcomer needs them, and where each is.
COMMANDS = {
    "demo": "boom_streams.cli.demo",
    "services": "boom_streams.cli.services",
    "init": "boom_streams.cli.init",
    "migrate": "boom_streams.cli.migrate",
    "models": "boom_streams.cli.models",
    "up": "boom_streams.cli.up",
    "download": "boom_streams.cli.download",
    "synthesize": "boom_streams.cli.synthesize",
    "replay": "boom_streams.cli.replay",
    "filters": "boom_streams.cli.filters",
    "catalogs": "boom_streams.cli.catalogs",
    "consume": "boom_streams.cli.consume",
    "status": "boom_streams.cli.status",
    "dead": "boom_streams.cli.dead",
    "layout": "boom_streams.cli.layout",
}


class _Commands(click.Group):
    """Loads a command's module when it is asked for, and prints errors that a person should read."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, module in COMMANDS.items() if importlib.util.find_spec(module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            told = explain(error)
            if told is None or ctx.params.get("debug"):
                raise
            raise click.ClickException(plain(told, lines=True)) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Begin with"):
            formatter.write_dl(_EXAMPLES)


_EXAMPLES: Sequence[tuple[str, str]] = (
    ("boom-streams demo NIGHT.tar.gz", "everything at once: services, workers, a night, what passed"),
    ("boom-streams services start", "Kafka and MongoDB here, without Docker"),
    ("boom-streams up", "the workers, restarted when they exit (Ctrl-C ends them)"),
    ("boom-streams replay ztf FOLDER", "archived alerts into the stream"),
    ("boom-streams consume NAME", "the alerts that passed a filter"),
)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=_Commands, context_settings=_CONTEXT)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="boom-streams", message="boom-streams %(version)s")
def cli(debug: bool) -> None:
    """Alert broker for sky surveys: from telescopes' alerts to the few that you asked for.

    Settings come from the environment (BOOM_…), then boom.toml, then defaults; services started
    with `boom-streams services start` in this folder are found by themselves.
    """


def main() -> None:
    """Entry point of the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has not every character
    sys.exit(cli(prog_name="boom-streams"))
