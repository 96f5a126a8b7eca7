"""faucet: test money on the local chains."""

from typing import Any

import click
import httpx

from app.cli.printing import as_json_option, examples, print_json
from app.config import Settings, load
from app.errors import ConfigError, InvalidInput, LightyardError
from app.stack import endpoints
from app.values import money, ton_address
from app.values.signatures import is_solana_address

METHOD_NOT_FOUND = -32601
ASSETS = ("SOL", "USDC", "USDT", "RENDER", "TON")


class FaucetDry(LightyardError):
    code = "FAUCET_DRY"


@click.command(epilog=examples("faucet 7eUc… 2.5 SOL", "faucet 7eUc… 100 USDC --json", "faucet UQBv… 1 TON"))
@click.argument("wallet")
@click.argument("amount")
@click.argument("asset", type=click.Choice(ASSETS, case_sensitive=False))
@as_json_option
def faucet(wallet: str, amount: str, asset: str, as_json: bool) -> None:
    """Give WALLET test money: AMOUNT of ASSET, such as 2.5 SOL or 1 TON, on the local chain that has such addresses."""
    settings = load()
    is_on_ton = asset.upper() == "TON" or (asset.upper() == "USDT" and not is_solana_address(wallet))  # USDT is on both
    if is_on_ton:
        wallet = _ton_wallet(wallet, settings)
    elif not is_solana_address(wallet):
        raise click.UsageError(f"{wallet!r} is not a Solana address")
    given = money.parse(amount, asset.upper())
    if given.minor <= 0:
        raise click.UsageError("AMOUNT must be more than 0")
    name, proof = _give_on_ton(settings, wallet, given) if is_on_ton else _give_on_solana(settings, wallet, given)
    if as_json:
        print_json({"wallet": wallet, "amount": str(given), "asset": given.asset, name: proof})
    else:
        click.echo(f"gave {given} {given.asset} to {wallet}\n{name} {proof}")


def _ton_wallet(text: str, settings: Settings) -> str:
    try:
        return ton_address.read(text, settings.ton_network).friendly()
    except InvalidInput as error:
        raise click.UsageError(f"{text!r} is no address of a chain here: {error.message}") from None


def _give_on_solana(settings: Settings, wallet: str, given: money.Money) -> tuple[str, str]:
    url = settings.solana_rpc_urls[0] if settings.solana_rpc_url else str(endpoints.read(settings.home)["solana_rpc_url"])
    return "signature", give(url, wallet, given)


def _give_on_ton(settings: Settings, wallet: str, given: money.Money) -> tuple[str, str]:
    """The name and hash of the message that brings it in the next block."""
    url = settings.ton_api_urls[0] if settings.ton_api_urls else endpoints.read(settings.home)["ton_api_url"]
    if not url:
        raise ConfigError("no TON runs here: `make ton-chain` installs one, then start `make up` again, or set TON_API_URL")
    method = "faucet" if given.asset == "TON" else "mint"
    base = str(url).rstrip("/").removesuffix("/jsonRPC").removesuffix("/api/v2")
    try:
        answer = httpx.post(f"{base}/dev/{method}", json={"address": wallet, "amount": given.minor}, timeout=30)
    except httpx.HTTPError as error:
        advice = "start one with `make up`, or set TON_API_URL"
        raise ConfigError(f"the TON at {url} does not answer ({error}): {advice}") from None
    try:
        return "message", str(answer.json()["result"]["message_hash"])
    except (ValueError, KeyError, TypeError):
        raise FaucetDry(f"the TON at {url} has no such faucet: test money is only on the local chain of `make up`") from None


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
