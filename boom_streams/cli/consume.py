"""``boom-streams consume``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boom_streams.cli.pages import PAGE, make_page, save_page
from boom_streams.cli.plain import echo, echo_json, plain

if TYPE_CHECKING:
    from boom_streams.publish.results import Passing
    from boom_streams.settings import Settings

__all__ = ["command"]


_FOLDER = click.Path(file_okay=False, path_type=Path)
_START = click.Choice(["earliest", "latest"])

#: Records that are passed over and named; the rest is counted. Until there is a result, only the first is named.
_TOLD = 5


@click.command("consume")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, without the cutouts.")
@click.option("--avro-dir", type=_FOLDER, help="Save each alert as an Avro file here.")
@click.option("--page", type=PAGE, help="Write an HTML page with stamps and light curves here.")
@click.option(
    "--from",
    "start",
    type=_START,
    default="earliest",
    show_default=True,
    help="Begin with the oldest alert, or the next one.",
)
@click.option("--limit", type=click.IntRange(1), help="Stop after so many alerts.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=5.0,
    show_default=True,
    help="End when no alert has come for so many seconds.",
)
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

    It shows what is there, waits for more, and ends by itself after 5 quiet seconds, unless --timeout says
    otherwise.

    A topic may be named as well (ztf.filtered has the results of all filters). An alert that was
    delivered twice is shown once. In JSON candid_text is candid as a text: jq and JavaScript round long numbers.

    \b
    Examples:
      boom-streams consume fast
      boom-streams consume fast --json | jq -r .candid_text
      boom-streams consume fast --avro-dir alerts/ --from latest --timeout 3600
      boom-streams consume fast --page fast.html
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.settings import current_settings

    found = _Found(as_json, avro_dir, page is not None)
    if not _without_topic(current_settings(), name):
        ended = found.read(current_settings(), name, start == "latest", timeout, limit)
        if not as_json and avro_dir is None and found.rows:
            from boom_streams.cli.tables import passing_table, show

            show(passing_table(found.rows, f"{found.count} alert{'s' * (found.count != 1)} of {name}"))
        if avro_dir is not None:
            echo(f"{found.count} alerts in {avro_dir}", err=True)
        if page is not None:
            from boom_streams.page import Night

            echo(f"page: {save_page(make_page(current_settings(), Night(name), found.alerts), page)}", err=True)
        if not found.count and not ended:
            echo(_nothing(current_settings(), name), err=True)
        if ended:
            raise SystemExit(130)


class _Found:
    """What is done with each alert, and what is kept of them for the end."""

    def __init__(self, as_json: bool, avro_dir: Path | None, page: bool) -> None:
        self._json, self._folder, self._page = as_json, avro_dir, page
        self._skipped = self._told = 0
        self.count = 0
        self.rows: list[dict[str, Any]] = []
        self.alerts: list[Passing] = []

    def read(self, settings: Settings, name: str, latest: bool, timeout: float, limit: int | None) -> bool:
        """Read alerts until the limit, or none has come for a while; whether Ctrl-C has ended it."""
        from boom_streams.publish.results import passing

        try:
            for alert in passing(settings, name, latest=latest, quiet_seconds=timeout, skip=self._skip):
                self._take(alert)
                if self.count == limit:
                    break
        except KeyboardInterrupt:
            return True
        finally:
            if self._skipped > self._told:
                more = self._skipped - self._told
                echo(f"{more} more record{'s are' if more > 1 else ' is'} passed over", err=True)
        return False

    def _take(self, alert: Passing) -> None:
        from boom_streams.publish.results import for_json

        self.count += 1
        if self._folder is not None:
            _save(self._folder, alert)
        if self._json:
            echo_json(for_json(alert.alert))
        elif self._folder is None:
            self.rows += alert.rows()
        if self._page:
            self.alerts.append(alert)

    def _skip(self, reason: str) -> None:
        self._skipped += 1
        if self._told < (_TOLD if self.count else 1):
            self._told += 1
            echo(plain(reason, 300), err=True)


def _save(folder: Path, alert: Passing) -> None:
    from boom_streams.errors import BoomError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / alert.file_name).write_bytes(alert.container)
    except OSError as error:
        raise BoomError(f"the alert cannot be saved: {error}") from None


def _without_topic(settings: Settings, name: str) -> bool:
    """Say how the filter is that has no topic yet; False if there is a topic, or no such filter."""
    from boom_streams.errors import BoomError
    from boom_streams.publish.results import topic_of

    try:
        topic_of(settings, name)
    except BoomError:
        state = _state(settings, name)
        if state:
            echo(state, err=True)
        return bool(state)
    return False


def _nothing(settings: Settings, name: str) -> str:
    return _state(settings, name) or f"{name}: nothing has come"


def _state(settings: Settings, name: str) -> str:
    """Why nothing comes of a filter; empty if it is not known."""
    from pymongo.errors import PyMongoError

    from boom_streams.archive.mongo import database
    from boom_streams.errors import BoomError
    from boom_streams.filters import FilterStore, state

    try:
        told = state(FilterStore(database(settings)).get(name))
    except (BoomError, PyMongoError):
        return ""
    if told == "on":
        return f"filter {name} is active, nothing yet"
    return f"filter {name} is {told}; `boom-streams filters activate {name}` switches it on"
