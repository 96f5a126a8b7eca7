"""settings and check-config: what can be set, and what production refuses."""

import sys

import click

from app.cli.printing import as_json_option, examples, print_json, print_table
from app.config import describe, load
from app.config_checks import unsafe, warnings
from app.wiring import malformed

PREFACE = """# Settings

All settings of the hub are environment variables. On and off may also be written true/false, yes/no, 1/0; an empty one means
the default. Any of them can be kept in a file that `NAME_FILE` names (`SECRET_KEY_FILE=/run/secrets/secret_key`); its last line
end does not count, and only one of the two may be set. `lightyard check-config` says which of yours can't be read, or production
would refuse. A GPU node's settings are in [gpu_node/README.md](../gpu_node/README.md).

<!-- written by `make settings` from app/config.py -->

| Variable | Type | Unit | Default | What it is |
|---|---|---|---|---|
"""


@click.command(epilog=examples("settings", "settings --json"))
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


@click.command(epilog=examples("check-config", "LIGHTYARD_ENV=production lightyard check-config --json"))
@as_json_option
def check_config(as_json: bool) -> None:
    """Say which settings the hub can't read, which production would refuse (exit status 1), and which to think about."""
    found = load()
    unread = malformed(found)
    refused = unsafe(found)
    doubtful = {name: reason for name, reason in warnings(found).items() if name not in refused | unread}
    if as_json:
        reasons = refused | unread
        print_json({"refused": list(reasons), "malformed": list(unread), "reasons": reasons, "warnings": doubtful})
    else:
        lines = [f"{name} {reason}" for name, reason in refused.items()]
        said = ["no hub would boot:", *unread.values()] if unread else []
        said += ["production would refuse to boot:", *lines] if lines else []
        click.echo("\n".join(said) or "production would boot")
        for name, reason in doubtful.items():
            click.echo(f"warning: {name} {reason}", err=True)
    sys.exit(1 if unread or refused else 0)


COMMANDS = (settings, check_config)
