"""`lightyard`: the operator's command line. Errors are one line that says what to do.

Exit status: 0 done, 1 a finding or a refusal, 2 called wrongly, 130 interrupted.
"""

import os
import sys

import click

from app import __version__, loading
from app.cli import (
    accounts,
    backups,
    books,
    broker,
    credits,
    dead_letters,
    disputes,
    doctor,
    failures,
    faucet,
    keys,
    ledger,
    mcp,
    nodes,
    payouts,
    poller,
    proofs,
    running,
    secret_files,
    settings,
    signer,
    solana,
    stripe,
    ton,
    wallet,
)
from app.cli.printing import examples, plain

EPILOG = """Settings come from the environment (`lightyard settings`). Commands that read the books use DATABASE_URL, else the
stack that runs in LIGHTYARD_HOME. With --json standard output is one JSON document; what else there is to say goes to standard
error.

Exit status: 0 done, 1 a finding or a refusal, 2 called wrongly, 130 interrupted.

\b
Completion of commands and options, for bash (also zsh_source, fish_source):
  eval "$(_LIGHTYARD_COMPLETE=bash_source lightyard)"
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, epilog=EPILOG)
@click.version_option(__version__, prog_name="lightyard")
def cli() -> None:
    """Lightyard: a marketplace backend for GPU rendering and compute."""


MODULES = (
    running, poller, signer, books, ledger, proofs, accounts, keys, nodes, broker, credits, stripe, solana, ton, payouts,
    dead_letters, disputes, faucet, wallet, mcp, settings, doctor, backups, secret_files,
)  # fmt: skip
for module in MODULES:
    for command in module.COMMANDS:
        cli.add_command(command)


def illustrate(group: click.Group, path: str = "") -> None:
    """A command that brings no example of its own shows its bare call, so that every help ends alike."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            illustrate(command, f"{path}{name} ")
        elif not command.epilog:
            told = [parameter.make_metavar(click.Context(command)) for parameter in command.params if parameter.required]
            command.epilog = examples(" ".join([f"{path}{name}", *told]))


illustrate(cli)
loading.done()


def main() -> None:
    """The entry point: mistakes and Ctrl-C end in one line, never in a traceback."""
    try:
        sys.exit(cli.main(prog_name="lightyard", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("lightyard: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has seen enough
        sys.exit(1)
    except Exception as error:
        words = failures.told(error)
        if words is None:
            raise
        click.echo("\n".join(map(plain, f"lightyard: {words.message}".splitlines())), err=True)
        sys.exit(1)
