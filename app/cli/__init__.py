"""`lightyard`: the operator's command line. Errors are one line that says what to do."""

import sys

import click

from app import __version__
from app.cli import (
    backups,
    books,
    credits,
    dead_letters,
    doctor,
    faucet,
    keys,
    nodes,
    payouts,
    poller,
    proofs,
    running,
    secret_files,
    settings,
    signer,
    stripe,
    ton,
    wallet,
)
from app.errors import LightyardError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lightyard")
def cli() -> None:
    """Lightyard: a marketplace backend for GPU rendering and compute."""


MODULES = (
    running, poller, signer, books, proofs, keys, nodes, credits, stripe, ton, payouts, dead_letters, faucet, wallet,
    settings, doctor, backups, secret_files,
)  # fmt: skip
for module in MODULES:
    for command in module.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """The entry point: mistakes and Ctrl-C end in one line, never in a traceback."""
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("lightyard: interrupted", err=True)
        sys.exit(130)
    except LightyardError as error:
        click.echo(f"lightyard: {error.message}", err=True)
        sys.exit(1)
