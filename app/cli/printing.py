"""What every command prints: JSON for programs, a table for people. Standard output has the answer and nothing else."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import click

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
PAGE_ROWS = 500


def examples(*lines: str, note: str = "") -> str:
    """The end of a command's help: how it is called."""
    shown = "\b\nExamples:\n" + "\n".join(f"  {line if ' lightyard ' in line else f'lightyard {line}'}" for line in lines)
    return f"{note}\n\n{shown}" if note else shown


def print_json(body: Any) -> None:
    click.echo(json.dumps(body, indent=1))


def print_json_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON array, written as its rows come: memory stays flat however many there are."""
    _print_rows_of_json(rows)
    click.echo()


def print_json_around(head: Mapping[str, Any], name: str, rows: Iterable[Mapping[str, Any]], tail: Callable[[], Any]) -> None:
    """One JSON object: the head's members, the rows under `name` as they come, and what is known when all have come."""
    click.echo(json.dumps(head, indent=1).removesuffix("\n}") + f",\n {json.dumps(name)}: ", nl=False)
    _print_rows_of_json(rows)
    click.echo(",\n " + json.dumps(tail(), indent=1).removeprefix("{\n ").removesuffix("\n}") + "\n}")


def _print_rows_of_json(rows: Iterable[Mapping[str, Any]]) -> None:
    click.echo("[", nl=False)
    for index, row in enumerate(rows):
        click.echo(("," if index else "") + "\n " + json.dumps(row), nl=False)
    click.echo("]", nl=False)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], if_empty: str) -> None:
    """Left-aligned columns under their names; lists are joined, nothing is a dash."""
    if not rows:
        click.echo(if_empty)
        return
    print_rows(rows, columns, if_empty)


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], if_empty: str) -> None:
    """A table written as its rows come: columns are as wide as the first page of them wants, and widen where one is wider."""
    coming = iter(rows)
    first = [_texts(row, columns) for row in islice(coming, PAGE_ROWS)]
    if not first:
        click.echo(if_empty)
        return
    head = [column.upper() for column in columns]
    widths = [max(len(line[index]) for line in (head, *first)) for index in range(len(columns))]
    for line in chain((head, *first), (_texts(row, columns) for row in coming)):
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def print_facts(facts: Mapping[str, Any]) -> None:
    """One thing, a line for each of its facts."""
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name.ljust(width)}  {_text(value)}")


def _texts(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return [_text(row[column]) for column in columns]


def plain(text: str) -> str:
    """On one line, and without what a terminal would obey: much of it was written by strangers."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _text(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return plain(",".join(map(str, value)) if isinstance(value, list) else str(value))
