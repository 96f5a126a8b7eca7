"""The hub's door to Solana for payments by x402: would a stranger's transaction land, and what became of it."""

import base64
from dataclasses import replace
from typing import Any

import httpx

from app.adapters import authorities
from app.adapters.chains import json_rpc
from app.adapters.chains.json_rpc import MALFORMED, UNCLEAR
from app.adapters.chains.solana_payouts import SolanaPayouts
from app.errors import ChainUnavailable, ChainUnreadable
from app.values import x402
from app.values.payouts import SOLANA, Fate, Signing, Terms

LIFE_BLOCKS = 150  # a block hash that a client took is at most so much younger than the newest final one


class SolanaSettlements:
    """What is decided about money here all nodes must say alike, as for payouts; what only saves a fee the first may say.

    ChainUnavailable when a node does not answer, or not clearly; ChainUnreadable when it answers with an error of its own.
    """

    def __init__(self, rpc_urls: tuple[str, ...], timeout_seconds: float, payouts: SolanaPayouts, network: str = "") -> None:
        """`network`: what the cluster is called; empty: by its genesis hash."""
        self._url, self._timeout_seconds, self._payouts = rpc_urls[0], timeout_seconds, payouts
        self._http = httpx.Client(verify=authorities.trusted(), timeout=timeout_seconds)
        self._network = network

    def _ask(self, method: str, *params: Any) -> Any:
        kind: type[ChainUnavailable]
        try:
            body = json_rpc.call(SOLANA, self._http, self._url, self._timeout_seconds, method, list(params))
            if "error" not in body:
                return body["result"]
            problem, kind = str(body["error"]), ChainUnreadable
        except UNCLEAR as error:
            problem, kind = f"{type(error).__name__}: {error}", ChainUnavailable
        raise kind(f"Solana did not answer {method}: {problem[:200]}")

    def network(self) -> str:
        """The cluster's CAIP-2 name."""
        if not self._network:
            self._network = x402.network_of(str(self._ask("getGenesisHash")))
        return self._network

    def lamports(self, address: str) -> int:
        """What a wallet has, final."""
        return self._payouts.funds(address, "SOL")

    def problem(self, raw: bytes) -> str | None:
        """Why a transaction would not land now; None for one that would. Signatures are not looked at."""
        options = {"encoding": "base64", "sigVerify": False, "commitment": "confirmed"}
        answer = self._ask("simulateTransaction", base64.b64encode(raw).decode(), options)
        try:
            error = answer["value"]["err"]
        except MALFORMED as problem:
            raise ChainUnreadable(f"Solana's simulation can't be read: {problem}") from problem
        return None if error is None else str(error)

    def terms(self, blockhash: str) -> Terms:
        """How long a transaction on a block hash that is good now may land at most."""
        found = self._payouts.terms("")
        return Terms(blockhash=blockhash, slot=found.slot, expires_at_height=(found.expires_at_height or 0) + LIFE_BLOCKS)

    def send(self, raw: bytes) -> str:
        """Hand the bytes to every node; what they answered."""
        return self._payouts.send(raw)

    def fate(self, signing: Signing) -> Fate:
        """What became of bytes that were signed; undecided while the nodes differ. The hub's own signature names the message,
        whichever signature of its payer's stands beside it: he can make others."""
        return self._payouts.fate(replace(signing, signed=replace(signing.signed, raw=b"")))

    def is_past(self, terms: Terms) -> bool:
        """Whether the nodes, all of them of now, are past the last block in which a transaction may stand."""
        newest = self._payouts.terms("")
        return (newest.expires_at_height or 0) > (terms.expires_at_height or 0) + LIFE_BLOCKS
