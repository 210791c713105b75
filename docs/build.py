"""Fill the parts of the documentation that come from the code; ``--check`` only compares."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel, SecretStr

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from boom_streams.cli import cli  # noqa: E402
from boom_streams.schema import records  # noqa: E402
from boom_streams.settings import Settings  # noqa: E402
from boom_streams.surveys import get_survey, known_surveys  # noqa: E402
from boom_streams.topologies.stage import to_mermaid  # noqa: E402
from boom_streams.topologies.survey import STAGES  # noqa: E402
from tests.architecture.floors import FLOORS, needed, room  # noqa: E402
from tests.architecture.sources import modules, parse  # noqa: E402


def topology() -> str:
    """Drawing of the chain of a survey."""
    return f"```mermaid\n{to_mermaid('ztf', STAGES)}```"


def settings() -> str:
    """Table of all settings."""
    rows = ["| variable | default | what it does |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = f"`{_default(field.get_default())}`" if field.default not in (None, "") else ""
        rows.append(f"| `BOOM_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    """A setting's default as one writes it in the environment."""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(int(value)) if isinstance(value, bool) else str(value)


def commands() -> str:
    """Table of all commands."""
    rows = ["| command | what it does |", "|---|---|"]
    return "\n".join(rows + _verbs(cli, "boom-streams"))


def _verbs(group: Any, prefix: str) -> list[str]:
    context = click.Context(group)
    rows = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            rows += _verbs(command, f"{prefix} {name}")
        else:
            rows.append(f"| `{prefix} {name}` | {command.get_short_help_str(100)} |")
    return rows


def models() -> str:
    """Tables of the records between stages."""
    parts = []
    for model in (records.Margin, records.Enriched, records.Classified, records.DeadLetter):
        parts += [f"### {model.__name__}", "", (model.__doc__ or "").strip(), "", *_fields(model), ""]
    return "\n".join(parts).rstrip()


def _fields(model: type[BaseModel]) -> list[str]:
    rows = ["| field | type | what it is |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        rows.append(f"| `{field.alias or name}` | {_kind(field.annotation)} | {field.description} |")
    return rows


_KINDS = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    bytes: "bytes",
    Any: "anything",
    type(None): "absent",
}


def _kind(annotation: Any, several: bool = False) -> str:
    """A field's type in words: ``dict[str, list[float]]`` is "for each name a list of numbers"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation == dict[str, Any]:
        return "documents" if several else "document"
    if origin is dict:
        inner = _kind(arguments[1])
        return f"for each name {inner if inner.startswith(('a ', 'an ')) else _article(inner)}"
    if origin is list:
        return f"a list of {_kind(arguments[0], several=True)}"
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is Annotated:
        return "packed columns"
    if origin in (Union, UnionType):
        return " or ".join(map(_kind, arguments))
    kind = _KINDS[annotation]
    return f"{kind}s" if several and kind != "bytes" else kind


def _article(kind: str) -> str:
    if kind in ("bytes", "packed columns", "anything") or kind.startswith("`"):
        return kind
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def filtered() -> str:
    """Table of the filtered record's fields."""
    schema = json.loads((DOCS.parent / "schema/avro/filtered/1/filtered.avsc").read_text())
    return "\n".join(_avro(schema))


def _avro(schema: dict[str, Any], prefix: str = "") -> list[str]:
    rows = [] if prefix else ["| field | what it is |", "|---|---|"]
    for field in schema["fields"]:
        rows.append(f"| `{prefix}{field['name']}` | {field['doc']} |")
        kind = field["type"]
        if isinstance(kind, dict) and kind["type"] == "array":
            rows += _avro(kind["items"], f"{prefix}{field['name']}[].")
    return rows


def points() -> str:
    """Table of the columns of light curves."""
    rows = ["| survey | series | of | columns |", "|---|---|---|---|"]
    for survey in map(get_survey, known_surveys()):
        for name, series in survey.series.items():
            columns = ", ".join(series.dtype.names or ())
            rows.append(f"| {survey.name} | `{name}` | {_ROLES[series.role]} | {columns} |")
    return "\n".join(rows)


def surveys() -> str:
    """Table of the surveys."""
    rows = ["| survey | `jd` is the | bands | programmes | stamps |", "|---|---|---|---|---|"]
    for survey in map(get_survey, known_surveys()):
        bands = ", ".join(survey.detections.names)
        programmes = ", ".join(f"{one} (level {level})" for one, level in survey.rights.levels.items())
        stamps = f"{', '.join(f'`{name}`' for name in survey.stamps.names)}: {survey.stamps.format}"
        rows.append(f"| {survey.name}: {survey.about} | {survey.time} | {bands} | {programmes} | {stamps} |")
    return "\n".join(rows)


def fields() -> str:
    """Tables of what the fields of candidates and points are."""
    parts = []
    for survey in map(get_survey, known_surveys()):
        parts += [f"### {survey.name}", "", "| field | light curves with it | what it is |", "|---|---|---|"]
        for name, text in survey.documentation.items():
            found = ", ".join(f"`{series.name}`" for series in survey.series.values() if name in series.fields)
            parts.append(f"| `{name}` | {found} | {text} |")
    return "\n".join(parts)


def house() -> str:
    """Drawing of the rooms, floor by floor, with what each needs."""
    present = {room(name) for name, _ in modules()}
    lines = ["```mermaid", "flowchart TB"]
    for number, rooms in reversed(list(enumerate(FLOORS))):
        here = [name for name in rooms if name in present]
        lines += [f"  subgraph floor{number}[ ]", "    direction LR", *(f"    {name}" for name in here), "  end"]
    for here, rooms in sorted(needed().items()):
        lines += [f"  {here} --> {there}" for there in sorted(rooms)]
    return "\n".join([*lines, "```"])


def rooms() -> str:
    """Table of the rooms, from the top floor down."""
    files = {name: file for name, file in modules() if name.count(".") == 1}
    rows = ["| room | what it is for |", "|---|---|"]
    for floor in reversed(FLOORS):
        for name in floor:
            if (file := files.get(f"boom_streams.{name}")) is None:
                continue
            text = (ast.get_docstring(parse(file)) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
            folder = f"{name}/" if file.name == "__init__.py" else f"{name}.py"
            rows.append(f"| `{folder}` | {text} |")
    return "\n".join(rows)


_ROLES = {"detection": "detections", "limit": "limits", "forced": "forced photometry"}

PARTS = {
    "architecture.md": {"house": house, "rooms": rooms},
    "topology.md": {"topology": topology},
    "operation.md": {"settings": settings, "commands": commands},
    "surveys.md": {"surveys": surveys, "fields": fields},
    "records.md": {"models": models, "filtered": filtered, "points": points},
}


def render(name: str) -> str:
    """Text of a page with its generated parts filled in."""
    text = (DOCS / name).read_text()
    for part, make in PARTS[name].items():
        begin, end = f"<!-- {part}:begin -->", f"<!-- {part}:end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{make()}\n{end}{after}"
    return text


def main() -> int:
    """Write or check every page."""
    stale = []
    for name in PARTS:
        text = render(name)
        if text != (DOCS / name).read_text():
            stale.append(name)
            if "--check" not in sys.argv:
                (DOCS / name).write_text(text)
    if "--check" in sys.argv and stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run python docs/build.py\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
