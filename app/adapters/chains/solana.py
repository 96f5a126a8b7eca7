"""The hub's door to Solana: JSON-RPC in, sightings out. What a node does not say clearly is not known."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from app.adapters import authorities
from app.adapters.chains import json_rpc
from app.adapters.chains.json_rpc import MALFORMED, UNCLEAR
from app.errors import ChainUnavailable, ChainUnreadable
from app.values.chain import Movement, Sighting

MEMO_PROGRAMS = {"MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"}
SYSTEM = "system"
TOKEN_PROGRAMS = {"spl-token", "spl-token-2022"}


class SolanaGateway:
    """Asks the RPC nodes in turn; a time-out, a 429, a 5xx or garbage from all of them is ChainUnavailable.

    ChainUnreadable when a node did answer, with an error of its own or with something that can't be read.
    """

    def __init__(self, rpc_urls: tuple[str, ...], timeout_seconds: float) -> None:
        self._urls, self._timeout_seconds = rpc_urls, timeout_seconds
        self._http = httpx.Client(verify=authorities.trusted(), timeout=timeout_seconds)

    def _call(self, method: str, *params: Any) -> Any:
        problem, kind = "no RPC node is configured", ChainUnavailable
        for url in self._urls:
            try:
                body = json_rpc.call("solana", self._http, url, self._timeout_seconds, method, list(params))
                if "error" not in body:
                    return body["result"]
                problem, kind = str(body["error"]), ChainUnreadable
            except UNCLEAR as error:
                problem = f"{type(error).__name__}: {error}"
        raise kind(f"Solana did not answer {method}: {problem[:200]}")

    def health(self) -> bool:
        """Whether a node says that it is well."""
        try:
            return bool(self._call("getHealth") == "ok")
        except ChainUnavailable:
            return False

    def balance(self, address: str) -> int:
        """Finalized lamports."""
        answer = self._call("getBalance", address, {"commitment": "finalized"})
        try:
            return int(answer["value"])
        except MALFORMED as error:
            raise ChainUnavailable(f"Solana's balance of {address} cannot be read: {error}") from error

    def signatures_for(
        self, address: str, until: str | None = None, before: str | None = None
    ) -> list[tuple[str, str | None]]:
        """Final transactions that name an address, newest first, at most 1,000: (signature, memos as the node joins them).

        `until` and `before` are signatures between which to look; neither is in the answer.
        """
        options = {"limit": 1000, "commitment": "finalized", "until": until, "before": before}
        given = {name: value for name, value in options.items() if value is not None}
        rows = self._call("getSignaturesForAddress", address, given)
        try:
            if not isinstance(rows, list):
                raise TypeError(f"it is no list but {type(rows).__name__}")
            return [(row["signature"], row.get("memo")) for row in rows]
        except MALFORMED as error:
            raise ChainUnreadable(f"Solana's list for {address} cannot be read: {error}") from error

    def sighting(self, signature: str) -> Sighting | None:
        """What the chain shows of a transaction; None when no node has it at `confirmed` or above."""
        options = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0}
        final = self._call("getTransaction", signature, {**options, "commitment": "finalized"})
        found = self._call("getTransaction", signature, {**options, "commitment": "confirmed"}) if final is None else final
        if found is None:
            return None
        try:
            return _read(signature, found, final is not None)
        except MALFORMED as error:
            raise ChainUnreadable(f"Solana's answer for {signature} cannot be read: {error}") from error


def _read(signature: str, found: Mapping[str, Any], is_final: bool) -> Sighting:
    meta, message = found["meta"], found["transaction"]["message"]
    if found["transaction"]["signatures"][0] != signature:
        raise ValueError("it is of another transaction")
    keys = [key["pubkey"] if isinstance(key, dict) else key for key in message["accountKeys"]]
    owners = _token_owners(meta, keys)
    instructions = list(_instructions(meta, message))
    return Sighting(
        signature=signature,
        slot=int(found["slot"]),
        block_time=None if found.get("blockTime") is None else datetime.fromtimestamp(found["blockTime"], UTC),
        error=None if meta["err"] is None else str(meta["err"]),
        is_final=is_final,
        memos=tuple(_memo(item) for item in instructions if item.get("programId") in MEMO_PROGRAMS),
        movements=tuple(move for item in instructions for move in _movements(item, owners)),
        fee_payer=keys[0],
        changes=_changes(meta, keys),
    )


def _instructions(meta: Mapping[str, Any], message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Top-level and inner instructions: a transfer made by a program counts too."""
    yield from message["instructions"]
    for group in meta.get("innerInstructions") or []:
        yield from group["instructions"]


def _memo(instruction: Mapping[str, Any]) -> str:
    parsed = instruction.get("parsed")
    return parsed if isinstance(parsed, str) else str(instruction.get("data"))


def _token_owners(meta: Mapping[str, Any], keys: list[str]) -> dict[str, tuple[str, str]]:
    """Token account → (owner, mint)."""
    rows = [*(meta.get("preTokenBalances") or []), *(meta.get("postTokenBalances") or [])]
    return {keys[row["accountIndex"]]: (row["owner"], row["mint"]) for row in rows}


def _movements(instruction: Mapping[str, Any], owners: Mapping[str, tuple[str, str]]) -> Iterator[Movement]:
    parsed = instruction.get("parsed")
    if not isinstance(parsed, dict):
        return
    info, kind = parsed.get("info", {}), parsed.get("type")
    if instruction.get("program") == SYSTEM and kind in ("transfer", "transferWithSeed"):
        yield Movement(info["source"], info["destination"], int(info["lamports"]))
    if instruction.get("program") in TOKEN_PROGRAMS and kind in ("transfer", "transferChecked"):
        amount = info["amount"] if kind == "transfer" else info["tokenAmount"]["amount"]
        owner, mint = owners.get(info["destination"], ("", ""))
        source = info.get("authority") or owners.get(info["source"], ("", ""))[0]
        yield Movement(source, owner, int(amount), mint)


def _changes(meta: Mapping[str, Any], keys: list[str]) -> dict[tuple[str, str | None], int]:
    """Balances after minus before; a token account that was not there before had nothing."""
    changes: dict[tuple[str, str | None], int] = {}
    for key, before, after in zip(keys, meta["preBalances"], meta["postBalances"], strict=True):
        changes[(key, None)] = after - before
    for sign, name in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
        for row in meta.get(name) or []:
            place = (row["owner"], row["mint"])
            changes[place] = changes.get(place, 0) + sign * int(row["uiTokenAmount"]["amount"])
    return changes
