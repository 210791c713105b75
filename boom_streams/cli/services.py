"""``boom-streams services start|stop|status``."""

from __future__ import annotations

import click

from boom_streams.cli.plain import echo, echo_json

__all__ = ["command"]


@click.group("services")
def command() -> None:
    """Run Kafka and MongoDB on this machine, without Docker.

    They listen on free ports of 127.0.0.1 and keep everything in the data folder (.boom, or
    BOOM_DATA_DIR). Other commands in this folder find them by themselves.

    \b
    Examples:
      boom-streams services start
      boom-streams services status --json
      boom-streams services stop
    """  # noqa: D301 - click needs the real backspace


@command.command("start")
@click.option("--json", "as_json", is_flag=True, help="The endpoints as a JSON object.")
def start(as_json: bool) -> None:
    """Start Kafka and MongoDB, and wait until they answer; what runs stays as it is."""
    from boom_streams import services
    from boom_streams.settings import current_settings

    endpoints = services.start(current_settings().data_dir)
    if as_json:
        echo_json(endpoints.to_dict())
        return
    echo(f"Kafka    {endpoints.kafka}")
    echo(f"MongoDB  {endpoints.mongo_uri}")


@command.command("stop")
def stop() -> None:
    """Stop both; their data stay."""
    from boom_streams import services
    from boom_streams.settings import current_settings

    stopped = services.stop(current_settings().data_dir)
    echo(f"stopped {' and '.join(stopped)}" if stopped else "nothing was running")


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object, with the endpoints.")
def status(as_json: bool) -> None:
    """Tell whether both run and answer; the exit code is 1 if one does not."""
    from boom_streams import services
    from boom_streams.settings import current_settings

    found = services.status(current_settings().data_dir)
    if as_json:
        echo_json({each.name: {"endpoint": each.endpoint, "pid": each.pid, "answers": each.answers} for each in found})
    else:
        for each in found:
            process = f"pid {each.pid}" if each.pid else "no process"
            echo(f"{each.name:8} {each.endpoint or '-':32} {process:12} {each.detail}")
    if not all(each.answers for each in found):
        raise SystemExit(1)
