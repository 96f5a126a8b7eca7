"""faucet: test money on the local chain."""

from typing import Any

import click
import httpx

from app.cli.printing import as_json_option, print_json
from app.config import load
from app.errors import ConfigError, LightyardError
from app.stack import endpoints
from app.values import money
from app.values.signatures import is_solana_address

METHOD_NOT_FOUND = -32601
ASSETS = ("SOL", "USDC", "USDT", "RENDER")


class FaucetDry(LightyardError):
    code = "FAUCET_DRY"


@click.command()
@click.argument("wallet")
@click.argument("amount")
@click.argument("asset", type=click.Choice(ASSETS, case_sensitive=False))
@as_json_option
def faucet(wallet: str, amount: str, asset: str, as_json: bool) -> None:
    """Give WALLET test money: AMOUNT of ASSET, such as 2.5 SOL, on the local chain."""
    if not is_solana_address(wallet):
        raise click.UsageError(f"{wallet!r} is not a Solana address")
    given = money.parse(amount, asset.upper())
    if given.minor <= 0:
        raise click.UsageError("AMOUNT must be more than 0")
    settings = load()
    url = settings.solana_rpc_urls[0] if settings.solana_rpc_url else str(endpoints.read(settings.home)["solana_rpc_url"])
    signature = give(url, wallet, given)
    if as_json:
        print_json({"wallet": wallet, "amount": str(given), "asset": given.asset, "signature": signature})
    else:
        click.echo(f"gave {given} {given.asset} to {wallet}\nsignature {signature}")


def give(url: str, wallet: str, given: money.Money) -> str:
    """Ask the chain's faucet; the transaction's signature."""
    if given.asset == "SOL":
        return str(_call(url, "requestAirdrop", wallet, given.minor))
    return str(_call(url, "lightyardFaucet", wallet, given.minor, given.asset)["signature"])


def _call(url: str, method: str, *params: Any) -> Any:
    try:
        answer = httpx.post(url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}, timeout=30)
        body = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        advice = "start one with `make up`, or set SOLANA_RPC_URL"
        raise ConfigError(f"the chain at {url} does not answer ({error}): {advice}") from None
    problem = body.get("error")
    if problem is None:
        return body["result"]
    if problem.get("code") == METHOD_NOT_FOUND:
        raise FaucetDry(f"the chain at {url} has no such faucet: test money is only on the local chain of `make up`")
    raise FaucetDry(f"the faucet refused: {problem.get('message')}")


COMMANDS = (faucet,)
