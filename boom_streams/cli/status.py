"""``boom-streams status``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import click

from boom_streams.cli.plain import echo, echo_json

__all__ = ["command"]


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, help="Seconds to measure rates.")
def command(as_json: bool, interval: float) -> None:
    """Show what the broker is doing: lag, rates, dead letters, tables, and what is missing.

    The exit code is 1 if something is missing; that no filter is active, or that models and catalogues are not
    installed, is said and is no fault.

    \b
    Examples:
      boom-streams status
      boom-streams status --json | jq '.stages[] | {role, lag}'
    """  # noqa: D301 - click needs the real backspace
    from boom_streams.operate.status import collect
    from boom_streams.settings import current_settings

    report = collect(current_settings(), interval)
    if as_json:
        echo_json(report, indent=2)
    else:
        _print(report)
    if report["missing"]:
        raise SystemExit(1)


def _print(report: dict[str, Any]) -> None:
    if report["stages"]:
        layout = report["layout"] or "not started yet"
        title = f"stages (layout: {'both, which must not be' if layout == 'both' else layout})"
        _table(title, ("role", "topic", "workers", "lag", "per_second"), report["stages"])
    if report["topics"]:
        rows = [{"topic": name, **topic} for name, topic in report["topics"].items()]
        _table("topics", ("topic", "records", "per_second"), rows)
    for survey, letters in report["dead"].items():
        echo(f"dead letters of {survey}: {letters}")
    for name, records in report["tables"].items():
        echo(f"table {name}: {records} records in its changelog")
    for name, documents in report["archive"].items():
        echo(f"archive {name}: {documents} documents")
    _print_notes(report)
    for problem in report["missing"]:
        echo(f"missing: {problem}")
    for problem in report["without"]:
        echo(f"alerts go on without {problem}")
    for problem in report["filters"]:
        echo(problem)


def _print_notes(report: Mapping[str, Any]) -> None:
    """What workers have to say."""
    for each in report["waiting"]:
        since = datetime.fromtimestamp(each["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        echo(f"waiting: {each['stage']} of worker {each['worker']}, since {since}: {each['why']}")
    for each in report["unfit"]:
        echo(
            f"{each['count']} records of {each['stage']} (worker {each['worker']}) do not fit their schema; "
            f"the last: {each['last']}"
        )
    for each in report["lost"]:
        first, last = each["first"], each["after"] - 1
        where = f"{each['topic']}, partition {each['partition']}, offsets {first} to {last}"
        echo(f"lost: Kafka deleted {last + 1 - first} records before worker {each['worker']} read them: {where}")


def _table(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    from boom_streams.cli.tables import PlainTable, show

    table = PlainTable(title)
    for column in columns:
        justify: Literal["left", "right"] = "left" if column in ("role", "topic") else "right"
        table.add_column(column.replace("_", " "), justify=justify)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    show(table)
