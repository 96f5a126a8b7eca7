"""signer: the process that holds the hot wallets' keys."""

import sys
from contextlib import suppress

import click

from app.adapters.signer import SignerAway, SignerClient
from app.cli.printing import as_json_option, examples, print_json
from app.config import load
from app.errors import ConfigError
from app.signer import keys
from app.signer.__main__ import main
from app.values import clock
from app.values.payouts import CHAINS


@click.group()
def signer() -> None:
    """Run the signer, make and replace its keys, ask for its wallets."""


@signer.command(epilog=examples("signer run"))
def run() -> None:
    """Serve SIGNER_SOCKET until ended. It needs SIGNER_HOME, no database and no network."""
    sys.argv = sys.argv[:1]
    main()


@signer.command("make-keys", epilog=examples("signer make-keys"))
def make_keys() -> None:
    """Make the keys that are missing in SIGNER_HOME. Keep copies of them where no machine can read them."""
    folder = load().signer_folder
    keys.load(folder, make=True)
    click.echo(f"keys are in {folder}")


@signer.command("replace-key", epilog=examples("signer replace-key ton"))
@click.argument("chain", type=click.Choice(CHAINS))
def replace_key(chain: str) -> None:
    """Give CHAIN's hot wallet a new key, with the signer stopped; docs/payouts-runbook.md says what comes before and after."""
    settings = load()
    with suppress(SignerAway):
        SignerClient(settings.signer_socket_path).addresses()
        raise ConfigError("the signer is running, and would go on with the old key: stop it first")
    retired = keys.replace(settings.signer_folder, chain, clock.now())
    click.echo(f"the old key is in {retired}; start the signer and fund the new address: `lightyard signer addresses`")


@signer.command(epilog=examples("signer addresses --json"))
@as_json_option
def addresses(as_json: bool) -> None:
    """The hot wallets' addresses, to be funded."""
    client = SignerClient(load().signer_socket_path)
    found = client.addresses()
    fee_payer = client.fee_payer()
    if fee_payer is not None:
        found["solana-fees"] = fee_payer
    print_json(found) if as_json else click.echo("\n".join(f"{chain:11} {address}" for chain, address in found.items()))


COMMANDS = (signer,)
