"""wallet and pay: a client's test wallet on the local chain, so that a render can be paid from a shell."""

import os
from pathlib import Path
from typing import Any

import click
import httpx
from solders.keypair import Keypair

from app.cli.printing import as_json_option, examples, print_json
from app.config import load
from app.errors import ConfigError
from app.stack import endpoints
from app.values import money
from app.values.signatures import is_solana_address
from devnet.payer import Payer

FEES = money.Money(10_000_000, "SOL")


def _open() -> Payer:
    """The wallet of this home, made on first use; ConfigError when the chain is not a local one."""
    settings = load()
    url = settings.solana_rpc_urls[0] if settings.solana_rpc_url else str(endpoints.read(settings.home)["solana_rpc_url"])
    payer = Payer(url, _kept(settings.home / "client.json"))
    try:
        payer.rpc("lightyardMints")
    except RuntimeError:
        raise ConfigError(f"{url} is not the local chain of `make up`: this test wallet pays nowhere else") from None
    except httpx.HTTPError as error:
        raise ConfigError(f"the chain at {url} does not answer ({error}): start one with `make up`") from None
    return payer


def _kept(path: Path) -> Keypair:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(Keypair().to_json())
    try:
        return Keypair.from_json(path.read_text())
    except ValueError:
        raise ConfigError(f"{path} is no wallet: move it away, and a new one is made") from None


@click.command(epilog=examples("wallet", "wallet --json"))
@as_json_option
def wallet(as_json: bool) -> None:
    """Print the address of this home's test wallet."""
    address = _open().address
    print_json({"address": address}) if as_json else click.echo(address)


@click.command(epilog=examples("pay 7eUc… 0.25 rayment:99b0…"))
@click.argument("to")
@click.argument("amount")
@click.argument("memo")
@as_json_option
def pay(to: str, amount: str, memo: str, as_json: bool) -> None:
    """Pay AMOUNT SOL to TO with MEMO from this home's test wallet on the local chain, and print the signature."""
    if not is_solana_address(to):
        raise click.UsageError(f"{to!r} is not a Solana address")
    given = money.parse(amount, "SOL")
    if given.minor <= 0:
        raise click.UsageError("AMOUNT must be more than 0")
    payer = _open()
    has: dict[str, Any] = payer.rpc("getBalance", payer.address, {"commitment": "processed"})
    if has["value"] < (given + FEES).minor:
        payer.airdrop((given + FEES).minor)
    signature = payer.pay(to, given.minor, memo)
    payer.wait_final(signature)
    print_json({"signature": signature, "amount": str(given)}) if as_json else click.echo(signature)


COMMANDS = (wallet, pay)
