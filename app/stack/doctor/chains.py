"""The chains: does each node answer, is it of the right network, and is it at the chain's head."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx

from app.config import Settings
from app.stack.doctor.finding import FAIL, OK, WARN, Finding, reason_of
from app.stack.doctor.place import Place
from devnet.evm import program as evm_program
from devnet.ton import program as ton_program

CALL_SECONDS = 4.0
# Networks by what their first block is: Solana's genesis hash as CAIP-2 cuts it, the root hash of TON's zero state
SOLANA = {
    "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp": "mainnet",
    "EtWTRABZaYq6iMfeYKouRu166VU2xqa1": "devnet",
    "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z": "testnet",
}
TON = {
    "F6OpKZKqvqeFp6CQmFomXNMfMj2EnaUSOXN+Mh+wVWk=": "mainnet",
    "gj+B8wb/AmlPk1z1AhVI484rhrUpgSr2oSFIh56VoSg=": "testnet",
}
EVM = {1: "Ethereum", 10: "Optimism", 56: "BNB", 137: "Polygon", 8453: "Base", 42161: "Arbitrum"}
EVM_TEST = {31337: "a local chain", 1337: "a local chain", 11155111: "Sepolia", 84532: "Base Sepolia", 80002: "Polygon Amoy"}
UNCLEAR = (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError)


def solana(place: Place) -> Iterator[Finding]:
    settings = place.settings
    if "solana_rpc_url" in place.embedded and not place.is_running:
        yield Finding(OK, "solana", "local chain: `lightyard up` starts it")
        return
    for url in settings.solana_rpc_urls:
        try:
            network = SOLANA.get(str(_rpc(url, "getGenesisHash"))[:32], "a local chain")
            slot = _rpc(url, "getSlot", {"commitment": "finalized"})
            late = time.time() - int(_rpc(url, "getBlockTime", slot))
        except UNCLEAR as error:
            advice = "start it with `lightyard up`, or set SOLANA_RPC_URL to a node that answers"
            yield Finding(FAIL, "solana", f"{_host(url)}: {reason_of(error)}", advice)
            continue
        yield _judged("solana", "SOLANA_RPC_URL", _host(url), network, late, settings)


def _judged(name: str, setting: str, host: str, network: str, late: float, settings: Settings) -> Finding:
    """By its network and its lag; the clock of this host may be what is wrong, too."""
    if settings.is_production and network != "mainnet":
        return Finding(FAIL, name, f"{host} is {network}, and money here is real", f"set {setting} to a node of the mainnet")
    if abs(late) > settings.payout_lag_seconds:
        advice = f"set {setting} to a node that keeps up; if all are so far off, mend this host's clock: timedatectl set-ntp true"
        return Finding(WARN, name, f"{host}, {network}: its newest final block is {late:.0f} s old by this host's clock", advice)
    return Finding(OK, name, f"{host} answers, {network}, final {max(0.0, late):.0f} s ago")


def ton(place: Place) -> Iterator[Finding]:
    settings = place.settings
    if settings.ton_config:
        yield Finding(OK, "ton", f"liteservers of {settings.ton_config}")
        return
    if not settings.ton_api_urls:
        if ton_program.command(0, None, 0) is None or settings.is_production:
            yield Finding(WARN, "ton", "no TON: nothing is paid in it", "make ton-chain, or set TON_API_URL")
        else:
            yield Finding(OK, "ton", "local chain: `lightyard up` starts it")
        return
    for url in settings.ton_api_urls:
        base = url.rstrip("/").removesuffix("/jsonRPC")
        try:
            told = _get(f"{base}/getMasterchainInfo", settings.ton_api_key)["result"]
            network = TON.get(str(told["init"]["root_hash"]), "a local chain")
            block = {name: told["last"][name] for name in ("workchain", "shard", "seqno")}
            late = time.time() - int(_get(f"{base}/getBlockHeader", settings.ton_api_key, block)["result"]["gen_utime"])
        except UNCLEAR as error:
            advice = "set TON_API_URL to a server that answers (and TON_API_KEY, if it wants one)"
            yield Finding(FAIL, "ton", f"{_host(url)}: {reason_of(error)}", advice)
            continue
        if network != "a local chain" and network != settings.ton_network:
            advice = f"set TON_API_URL to a server of the {settings.ton_network}, or TON_NETWORK={network}"
            yield Finding(FAIL, "ton", f"{_host(url)} is {network}, and TON_NETWORK says {settings.ton_network}", advice)
            continue
        yield _judged("ton", "TON_API_URL", _host(url), network, late, settings)


def evm(place: Place) -> Iterator[Finding]:
    settings = place.settings
    if not settings.evm_rpc_url:
        program = None if settings.is_production else evm_program.command(0, settings.home)
        if program is None:
            yield Finding(WARN, "evm", "no EVM chain: the ledger's roots are not anchored", "make evm-chain, or set EVM_RPC_URL")
        else:
            yield Finding(OK, "evm", f"local chain {program[0]}: `lightyard up` starts it")
        return
    for url in settings.evm_rpc_urls:
        try:
            number = int(str(_rpc(url, "eth_chainId")), 16)
            head = _rpc(url, "eth_getBlockByNumber", "latest", False)
            late = time.time() - int(str(head["timestamp"]), 16)
        except UNCLEAR as error:
            yield Finding(FAIL, "evm", f"{_host(url)}: {reason_of(error)}", "set EVM_RPC_URL to a node that answers")
            continue
        name = EVM.get(number) or EVM_TEST.get(number) or f"chain {number}"
        if settings.is_production and number in EVM_TEST:
            advice = "set EVM_RPC_URL to a node of a real chain"
            yield Finding(FAIL, "evm", f"{_host(url)} is {name}: a proof there convinces nobody", advice)
        elif late > settings.payout_lag_seconds and number not in EVM_TEST:
            advice = "set EVM_RPC_URL to a node that keeps up"
            yield Finding(WARN, "evm", f"{_host(url)}, {name}: its newest block is {late:.0f} s old by this host's clock", advice)
        else:
            yield Finding(OK, "evm", f"{_host(url)} answers, {name}")


def _rpc(url: str, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    answer = httpx.post(url, json=body, timeout=CALL_SECONDS).raise_for_status().json()
    if answer.get("error"):
        raise ValueError(f"{method}: {answer['error'].get('message', answer['error'])}")
    return answer["result"]


def _get(url: str, key: str, params: dict[str, Any] | None = None) -> Any:
    headers = {"X-API-Key": key} if key else {}
    return httpx.get(url, params=params, headers=headers, timeout=CALL_SECONDS).raise_for_status().json()


def balance(url: str, wallet: str) -> int:
    """Lamports of a wallet, of the last final block."""
    return int(_rpc(url, "getBalance", wallet, {"commitment": "finalized"})["value"])


def ton_balance(url: str, key: str, wallet: str) -> int:
    """Nanotons of a wallet."""
    base = url.rstrip("/").removesuffix("/jsonRPC")
    return int(_get(f"{base}/getAddressBalance", key, {"address": wallet})["result"])


def _host(url: str) -> str:
    """Which node is meant: keys stand in paths and queries, so those are left out."""
    try:
        address = urlsplit(url)
        return f"{address.scheme}://{address.hostname}" + (f":{address.port}" if address.port else "")
    except ValueError:
        return "its address can't be read"
