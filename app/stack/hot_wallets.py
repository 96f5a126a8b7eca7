"""The local stack's hot wallets: their keys are the signer's, their test money comes from the local chains' faucets."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from app.adapters.signer import SignerAway, SignerClient
from app.values.payouts import SOLANA, TON

SOL_LAMPORTS, TOKENS, TON_NANO = 10**12, {"USDC": 10**12, "USDT": 10**12, "RENDER": 10**14}, 10**13
FEE_LAMPORTS, TILL_LAMPORTS = 10**9, 10**7
BOOT_SECONDS, CALL_SECONDS = 30, 30


def fund(
    socket: Path, solana_url: str | None, ton_api_url: str | None, say: Callable[[str], None], hub_wallet: str | None = None
) -> None:
    """Give the wallets money where they have little, and the wallet that deposits go to its token accounts; None is a chain that
    is not local. What fails is said, and no more: the marketplace works without payouts."""
    try:
        addresses = _addresses(SignerClient(socket))
        if solana_url is not None and SOLANA in addresses:
            _fund_solana(solana_url, addresses[SOLANA])
            _open_till(solana_url, hub_wallet)
            _give_fees(solana_url, SignerClient(socket).fee_payer())
        if ton_api_url is not None and TON in addresses:
            _fund_ton(ton_api_url, addresses[TON])
    except (SignerAway, httpx.HTTPError, KeyError, TypeError, ValueError) as error:
        say(f"the hot wallets have no test money: {error}")


def _addresses(signer: SignerClient) -> dict[str, str]:
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        try:
            return signer.addresses()
        except SignerAway:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)  # a process that boots tells nobody: ask again


def _fund_solana(url: str, wallet: str) -> None:
    if _call(url, "getBalance", wallet)["value"] >= SOL_LAMPORTS // 2:
        return
    _call(url, "requestAirdrop", wallet, SOL_LAMPORTS)
    for asset, minor in TOKENS.items():
        _call(url, "lightyardFaucet", wallet, minor, asset)


def _open_till(url: str, wallet: str | None) -> None:
    """Who pays by x402 opens no token account of ours; a first unit of each token does."""
    if wallet is None or _call(url, "getBalance", wallet)["value"]:
        return
    for asset in TOKENS:
        _call(url, "lightyardFaucet", wallet, 1, asset)
    _call(url, "requestAirdrop", wallet, TILL_LAMPORTS)


def _give_fees(url: str, wallet: str | None) -> None:
    """What the wallet pays out of is a matter of fees alone."""
    if wallet is None or _call(url, "getBalance", wallet)["value"] >= FEE_LAMPORTS // 2:
        return
    _call(url, "requestAirdrop", wallet, FEE_LAMPORTS)


def _call(url: str, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    return httpx.post(url, json=body, timeout=CALL_SECONDS).raise_for_status().json()["result"]


def _fund_ton(api_url: str, wallet: str) -> None:
    found = httpx.get(f"{api_url}/getAddressBalance", params={"address": wallet}, timeout=CALL_SECONDS).raise_for_status()
    if int(found.json()["result"]) >= TON_NANO // 2:
        return
    base = api_url.removesuffix("/api/v2")
    httpx.post(f"{base}/dev/faucet", json={"address": wallet, "amount": TON_NANO}, timeout=CALL_SECONDS).raise_for_status()
