"""``boom-streams dead list|show|replay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from boom_streams.cli.plain import echo, echo_json, plain

if TYPE_CHECKING:
    from boom_streams.schema.dead_letters import DeadLetter

__all__ = ["command"]


@click.group("dead")
def command() -> None:
    """See what could not be processed, why, and send it through again.

    A dead letter is named by the record that it was: topic/partition/offset.

    \b
    Examples:
      boom-streams dead list
      boom-streams dead show ztf.raw/3/118 --save alert.avro
      boom-streams dead replay ztf.raw/3/118
      boom-streams dead replay --all --stage classify
    """  # noqa: D301 - click needs the real backspace


@command.command("list")
@click.option("--stage", help="Only letters that this stage gave up.")
@click.option("--replayed", is_flag=True, help="Also those that have been replayed.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Most letters; the newest.")
@click.option("--all", "everything", is_flag=True, help="All letters, however long that takes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_letters(stage: str | None, replayed: bool, limit: int, everything: bool, as_json: bool) -> None:
    """List the dead letters, each once; of many, the newest."""
    from boom_streams.operate import dead_letters
    from boom_streams.settings import current_settings

    if everything:
        found, older = [a for a in dead_letters.letters(current_settings(), replayed) if stage in (None, a.stage)], 0
    else:
        listed = dead_letters.newest(current_settings(), limit, replayed, stage)
        found, older = listed.letters, listed.older
    if as_json:
        for letter in found:
            echo_json(_as_dict(letter))
    elif found:
        _print(found)
    else:
        echo("no dead letters")
    if older:
        echo(f"the topics have {older} older records; --limit N and --all list more of them", err=True)


def _print(found: list[DeadLetter]) -> None:
    from boom_streams.cli.tables import PlainTable, show

    table = PlainTable(f"{len(found)} dead letter{'s' * (len(found) > 1)}")
    for column in ("record", "stage", "time (UTC)", "bytes", "reason"):
        table.add_column(column, overflow="fold")
    for letter in found:
        reason = f"(replayed) {letter.reason}" if letter.replayed else letter.reason
        table.add_row(letter.id, letter.stage, _time(letter.timestamp), str(letter.size), reason)
    show(table)


@command.command("show")
@click.argument("record")
@click.option("--save", type=click.Path(path_type=Path), help="Write the original bytes to this file.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def show_letter(record: str, save: Path | None, as_json: bool) -> None:
    """Show all about the dead letter RECORD (topic/partition/offset)."""
    from boom_streams.operate import dead_letters
    from boom_streams.settings import current_settings

    settings = current_settings()
    (letter,) = dead_letters.find(settings, [record])
    original = dead_letters.read(settings, letter)
    if save is not None:
        _save(save, original.value)
    about = _as_dict(letter) | {
        "headers": {name: (value or b"").decode(errors="replace") for name, value in original.headers},
        "traceback": original.traceback,
    }
    if as_json:
        echo_json(about)
        return
    for name, value in about.items():
        echo(f"{name}: {plain(value)}" if name != "traceback" or not value else f"{name}:\n{value}")
    if save is not None:
        echo(f"saved {letter.size} bytes to {save}")


@command.command("replay")
@click.argument("records", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that have not been replayed.")
@click.option("--stage", help="With --all: only letters that this stage gave up.")
def replay_letters(records: tuple[str, ...], everything: bool, stage: str | None) -> None:
    """Send dead letters through again, after what was wrong has been put right.

    A letter that had no way into the stream is keyed anew and goes to its raw topic, any other to the
    topic and partition that it came from, with its headers and its timestamp.
    """
    from boom_streams.operate import dead_letters
    from boom_streams.settings import current_settings

    if bool(records) == everything:
        raise click.UsageError("name the records, or say --all")
    settings = current_settings()
    if everything:
        chosen = [letter for letter in dead_letters.letters(settings) if stage in (None, letter.stage)]
    else:
        chosen = dead_letters.find(settings, records)
    done = dead_letters.replay(settings, chosen)
    echo(f"replayed {done.sent} of {len(chosen)} dead letters")
    for name, reason in done.refused.items():
        echo(f"still no alert: {name}: {reason}", err=True)
    if done.refused:
        raise SystemExit(1)


def _save(file: Path, value: bytes) -> None:
    from boom_streams.errors import BoomError

    try:
        file.write_bytes(value)
    except OSError as error:
        raise BoomError(f"the record cannot be saved: {error}") from None


def _as_dict(letter: DeadLetter) -> dict[str, Any]:
    return {
        "record": letter.id,
        "stage": letter.stage,
        "reason": letter.reason,
        "time": _time(letter.timestamp),
        "bytes": letter.size,
        "key": letter.key.decode(errors="replace") if letter.key is not None else None,
        "replayed": letter.replayed,
    }


def _time(milliseconds: int) -> str:
    """Time of a record, which may be any number, as its producer gave it."""
    from datetime import UTC, datetime, timedelta

    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        return f"{milliseconds} ms since 1970"
