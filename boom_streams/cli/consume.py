"""``boom-streams consume``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from boom_streams.cli.pages import PAGE, make_page, save_page
from boom_streams.cli.plain import echo, echo_json

__all__ = ["command"]


_FOLDER = click.Path(file_okay=False, path_type=Path)
_START = click.Choice(["earliest", "latest"])


@click.command("consume")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, without the cutouts.")
@click.option("--avro-dir", type=_FOLDER, help="Save each alert as an Avro file here.")
@click.option("--page", type=PAGE, help="Write an HTML page with stamps and light curves here.")
@click.option("--from", "start", type=_START, default="earliest", help="The oldest alert, or the next one.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many alerts.")
@click.option("--timeout", type=click.FloatRange(0.1), default=5.0, help="Stop after so many quiet seconds.")
def command(
    name: str,
    as_json: bool,
    avro_dir: Path | None,
    page: Path | None,
    start: str,
    limit: int | None,
    timeout: float,
) -> None:
    """Show the alerts that passed the filter NAME: as a table, JSON lines, Avro files or a page.

    A topic may be named as well (ztf.filtered has the results of all filters). An alert that was
    delivered twice is shown once.

    \b
    Examples:
      boom-streams consume fast
      boom-streams consume fast --json | jq .objectId
      boom-streams consume fast --avro-dir alerts/ --from latest --timeout 3600
      boom-streams consume fast --page fast.html
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.publish.results import Passing, passing
    from boom_streams.settings import settings

    found: list[Passing] = []
    actions: list[Callable[[Passing], None]] = []
    if avro_dir is not None:
        avro_dir.mkdir(parents=True, exist_ok=True)
        actions.append(lambda alert: _save(avro_dir, alert))
    if as_json:
        actions.append(lambda alert: echo_json(_plain(alert.alert)))
    if page is not None or not (as_json or avro_dir):
        actions.append(found.append)
    count = 0
    for alert in passing(settings(), name, latest=start == "latest", quiet_seconds=timeout):
        for act in actions:
            act(alert)
        count += 1
        if count == limit:
            break
    if not as_json and avro_dir is None:
        from boom_streams.cli.tables import passing_table, show

        show(passing_table([row for alert in found for row in alert.rows()], f"{count} alerts of {name}"))
    elif avro_dir is not None:
        echo(f"{count} alerts in {avro_dir}", err=True)
    if page is not None:
        from boom_streams.page import Night

        echo(f"page: {save_page(make_page(settings(), Night(name), found), page)}", err=True)


def _save(folder: Path, alert: Any) -> None:
    (folder / f"{alert.alert['candid']}.avro").write_bytes(alert.container)


def _plain(value: Any) -> Any:
    """Without bytes (cutouts), which JSON has no form for."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if not isinstance(item, bytes)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
