"""Printing what others wrote: the only place from which commands print.

Names, annotations, descriptions, reasons and headers come from alerts and users. They are printed as texts: no markup
of rich is read from them, no control character reaches the terminal, and a cell of a table is one line.
"""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["echo", "echo_json", "plain"]


def plain(value: object, longest: int | None = None, *, lines: bool = False) -> str:
    r"""Give a text in which every character is shown: what is none is written as in Python, such as ``\x1b``.

    Parameters
    ----------
    value
        What another program or person wrote.
    longest
        Most characters; a longer text is cut, which it says.
    lines
        Whether ends of lines and tabs stay as they are.
    """
    text = str(value)
    if longest is not None and len(text) > longest:
        text = f"{text[:longest]} … ({len(text)} characters)"
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print a text of one or several lines."""
    click.echo(plain(text, lines=True), err=err, nl=nl)


def echo_json(value: Any, indent: int | None = None) -> None:
    """Print a value as JSON, which has escapes of its own; what it has no form for is printed as a text."""
    click.echo(json.dumps(value, indent=indent, default=str).replace("\x7f", "\\u007f"))
