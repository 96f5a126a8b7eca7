"""Answers for people: fields in two columns, lists as tables; JSON for programs. What strangers wrote can't steer a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from robocompute.cli.context import Session

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def show(session: Session, answer: Mapping[str, Any]) -> None:
    """An answer's fields, one a line."""
    if session.as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    width = max(map(len, answer), default=0)
    for name, value in answer.items():
        click.echo(f"{plain(name):{width}}  {cell(value)}")


def show_rows(session: Session, answer: Mapping[str, Any], name: str, columns: Sequence[str]) -> None:
    """The list `name` of an answer as a table of the columns that any row has; --json shows all of it."""
    if session.as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    rows = answer.get(name, [])
    shown = [column for column in columns if any(column in row for row in rows)]
    if not rows:
        click.echo(f"no {name.replace('_', ' ')}")
        return
    table = [shown, *([cell(row.get(column)) for column in shown] for row in rows)]
    widths = [max(len(line[number]) for line in table) for number in range(len(shown))]
    for line in table:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def show_lines(session: Session, lines: Iterable[Mapping[str, Any]]) -> None:
    """Lines of a log, each as it comes."""
    for line in lines:
        if session.as_json:
            click.echo(json.dumps(line, ensure_ascii=False))
        else:
            click.echo(f"{plain(line.get('timestamp'))} {plain(line.get('level')):7} {plain(line.get('message'))}")


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value)


def plain(value: Any) -> str:
    """Text of others without what would move the cursor, change colours or turn the writing around."""
    return _CONTROL.sub("�", str(value).replace("\n", " ").replace("\t", " "))
