"""What others wrote is printed as it stands: it is no markup, and no control character reaches the terminal."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from rich.table import Table

from boom_streams.archive import mongo
from boom_streams.avro.numbers import encode_long
from boom_streams.cli.plain import echo_json, plain
from boom_streams.cli.tables import PlainTable, passing_table, show
from boom_streams.kafka import topics
from boom_streams.kafka.writer import Writer
from boom_streams.schema.dead_letters import letter_headers
from boom_streams.settings import Settings
from tests.architecture.sources import imported, modules, parse
from tests.support.commands import run

HOSTILE = "a[/bold]\x1b[2J\x07\r\nb\x9b31m\u202e\ud800[link=x]"
SHOWN = r"a[/bold]\x1b[2J\x07\r\nb\x9b31m\u202e\ud800[link=x]"

#: Printing of one's own: what goes around `boom_streams.cli.plain`.
PRINTERS = ("click.echo", "click.secho", "click.style", "rich.print")


def test_every_character_is_shown() -> None:
    assert plain(HOSTILE) == SHOWN
    assert plain("naïve Δm [r]") == "naïve Δm [r]"
    assert plain("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"
    assert plain("x" * 30, 10) == "xxxxxxxxxx … (30 characters)"


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"text": HOSTILE + "\x7f"})
    line = capsys.readouterr().out
    assert line.rstrip("\n").isprintable()
    assert json.loads(line) == {"text": HOSTILE + "\x7f"}


def test_a_table_of_hostile_texts(capsys: pytest.CaptureFixture[str]) -> None:
    table = PlainTable(HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    show(table)
    assert capsys.readouterr().out.count(SHOWN) == 3


def test_a_table_of_alerts_with_hostile_texts(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("objectId", "candid", "band", "filter")
    row = dict.fromkeys(names, "[/]\x1b") | {"ra": 1.0, "dec": 2.0, "annotations": {"[/b]": "[/c]\x1b"}}
    show(passing_table([row], "alerts"))
    printed = capsys.readouterr().out
    assert r"[/b]=[/c]\x1b" in printed
    assert "\x1b" not in printed


def test_lists_of_filters_and_dead_letters_show_hostile_texts(make_settings) -> None:
    settings: Settings = make_settings(partitions=2)
    topics.ensure_topics(settings)
    mongo.database(settings)["filters"].insert_one(
        {"_id": "1", "name": "n[/b]", "survey": "ZTF", "permissions": {}, "description": "d[/bold]\x1b[2J", "fv": []}
    )
    record = (f"{settings.topic_prefix}ztf.raw", 0, 1)
    headers = letter_headers("enrich", "codec [/bold]\x1b[2J\nis\nunknown", record, 0)
    writer = Writer(settings)
    writer.send(f"{settings.topic_prefix}ztf.dead", b"x", None, 0, headers)
    writer.finish()
    filters, dead = run(settings, "filters", "list"), run(settings, "dead", "list")
    assert r"d[/bold]\x1b[2J" in filters.replace("\n", "")
    assert r"[/bold]\x1b[2J" in dead
    assert "\x1b" not in filters + dead


def test_a_hostile_file_is_a_dead_letter_that_can_be_listed(make_settings, tmp_path: Path) -> None:
    """Its codec is named in the reason."""
    settings: Settings = make_settings(partitions=2)
    topics.ensure_topics(settings)
    entries = {"avro.codec": "[/bold]\x1b[2J", "avro.schema": '{"type": "record", "name": "t", "fields": []}'}
    pieces = [encode_long(len(entries))]
    for name, value in entries.items():
        pieces += [encode_long(len(name)), name.encode(), encode_long(len(value)), value.encode()]
    (tmp_path / "[red]a.avro").write_bytes(b"Obj\x01" + b"".join(pieces) + b"\x00" + bytes(16))
    run(settings, "replay", "ztf", tmp_path, code=1)
    listed = run(settings, "dead", "list")
    assert r"[/bold]\x1b[2J" in listed.replace("\n", "")
    assert "[red]a.avro" in listed.replace("\n", "")
    assert "\x1b" not in listed


def test_commands_print_in_one_place_only() -> None:
    """The modules of the CLI print through `plain` and `tables`, so that none of them prints a hostile text."""
    for name, file in modules():
        if not name.startswith("boom_streams.cli.") or name.endswith((".plain", ".tables")):
            continue
        tree = parse(file)
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {*PRINTERS, "print", "sys.stdout.write"}, name
        assert not [what for _, what in imported(tree) if what.startswith(f"{Table.__module__}.")], name
