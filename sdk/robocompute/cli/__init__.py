"""`robocompute`: the API for people at a terminal."""

from __future__ import annotations

import sys

import click

from robocompute.cli.billing import billing, wallet
from robocompute.cli.context import Session
from robocompute.cli.disputing import disputes
from robocompute.cli.lending import earnings, payouts, provider, resources, staking
from robocompute.cli.searching import providers
from robocompute.cli.tasks import tasks
from robocompute.exceptions import RoboComputeError

OPTIONS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=OPTIONS)
@click.version_option(package_name="robocompute")
@click.option("--api-key", envvar="ROBOCOMPUTE_API_KEY",
              help="The key; better as ROBOCOMPUTE_API_KEY, which no process list shows.")
@click.option("--keypair", envvar="ROBOCOMPUTE_KEYPAIR", help="The Solana CLI file of the wallet (ROBOCOMPUTE_KEYPAIR).")
@click.option("--base-url", envvar="ROBOCOMPUTE_BASE_URL", help="The API's address, /api/v1 included (ROBOCOMPUTE_BASE_URL).")
@click.option("--provider-id", envvar="ROBOCOMPUTE_PROVIDER_ID", help="The provider that one is (ROBOCOMPUTE_PROVIDER_ID).")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answers as JSON, for programs.")
@click.pass_context
def cli(
    context: click.Context, api_key: str | None, keypair: str | None, base_url: str | None, provider_id: str | None, as_json: bool
) -> None:
    """Rent compute for containers, or lend it.

    \b
    export ROBOCOMPUTE_API_KEY=rc_live_… ROBOCOMPUTE_KEYPAIR=~/.config/solana/id.json
    robocompute tasks run --image python:3.12 --gpu-memory 8 --max-price 10.00 -- python train.py
    robocompute tasks watch TASK_ID
    """
    context.obj = context.with_resource(Session(api_key, keypair, base_url, provider_id, as_json))


for command in (tasks, disputes, wallet, billing, providers, provider, resources, earnings, payouts, staking):
    cli.add_command(command)


def main() -> None:
    """The command line's entry: an error of the API is one line, and exit status 1."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except RoboComputeError as error:
        click.echo(f"Error: {error.message} ({error.code})", err=True)
        sys.exit(1)
    except (OSError, ValueError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
