"""settings and check-config: what can be set, and what production refuses."""

import sys

import click

from app.cli.printing import as_json_option, print_json, print_table
from app.config import describe, load, unsafe

PREFACE = """# Settings

All settings of the hub are environment variables. On and off may also be written true/false, yes/no, 1/0; an empty one means
the default. `lightyard check-config` says which of yours production would refuse. A GPU node's settings are in
[gpu_node/README.md](../gpu_node/README.md).

<!-- written by `make settings` from app/config.py -->

| Variable | Type | Unit | Default | What it is |
|---|---|---|---|---|
"""


@click.command()
@as_json_option
@click.option("--markdown", is_flag=True, help="Print the page docs/settings.md.")
def settings(as_json: bool, markdown: bool) -> None:
    """List every setting with its type, unit and default."""
    if as_json:
        print_json(describe())
    elif markdown:
        click.echo(as_markdown(), nl=False)
    else:
        print_table(describe(), ("name", "type", "unit", "default", "description"), "")


def as_markdown() -> str:
    """docs/settings.md."""
    return PREFACE + "".join(
        f"| `{row['name']}` | {row['type']} | {row['unit'] or '–'} | {_default(row['default'])} | {row['description']} |\n"
        for row in describe()
    )


def _default(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`" if value != "" else "–"


@click.command()
@as_json_option
def check_config(as_json: bool) -> None:
    """Say which settings production would refuse. Exit status 1 when there are any."""
    problems = unsafe(load())
    if as_json:
        print_json({"refused": list(problems), "reasons": problems})
    else:
        lines = [f"{name} {reason}" for name, reason in problems.items()]
        click.echo("\n".join(["production would refuse to boot:", *lines]) if lines else "production would boot")
    sys.exit(1 if problems else 0)


COMMANDS = (settings, check_config)
