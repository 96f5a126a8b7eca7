"""What every command prints: JSON for programs, a table for people."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(body: Any) -> None:
    click.echo(json.dumps(body, indent=1))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], if_empty: str) -> None:
    """Left-aligned columns under their names; lists are joined, nothing is a dash."""
    if not rows:
        click.echo(if_empty)
        return
    texts = [[column.upper() for column in columns], *([_text(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in texts) for index in range(len(columns))]
    for line in texts:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
