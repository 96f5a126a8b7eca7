"""The hub's door to Solana: JSON-RPC in, sightings out. What a node does not say clearly is not known."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from app.db import assert_no_unit_of_work
from app.errors import ChainUnavailable
from app.values.chain import Movement, Sighting

MEMO_PROGRAMS = {"MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"}
SYSTEM = "system"
TOKEN_PROGRAMS = {"spl-token", "spl-token-2022"}


class SolanaGateway:
    """Asks the RPC nodes in turn; a time-out, a 5xx or garbage from all of them is ChainUnavailable."""

    def __init__(self, rpc_urls: tuple[str, ...], timeout_seconds: int) -> None:
        self._urls = rpc_urls
        self._http = httpx.Client(timeout=timeout_seconds)

    def _call(self, method: str, *params: Any) -> Any:
        assert_no_unit_of_work()
        problem = "no RPC node is configured"
        for url in self._urls:
            try:
                answer = self._http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
                body = answer.raise_for_status().json()
                if "error" not in body:
                    return body["result"]
                problem = str(body["error"])
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                problem = f"{type(error).__name__}: {error}"
        raise ChainUnavailable(f"Solana did not answer {method}: {problem[:200]}")

    def health(self) -> bool:
        """Whether a node says that it is well."""
        try:
            return bool(self._call("getHealth") == "ok")
        except ChainUnavailable:
            return False

    def balance(self, address: str) -> int:
        """Finalized lamports."""
        return int(self._call("getBalance", address, {"commitment": "finalized"})["value"])

    def signatures_for(self, address: str, limit: int = 100) -> list[tuple[str, str | None]]:
        """The newest transactions that name an address: (signature, memos as the node joins them)."""
        rows = self._call("getSignaturesForAddress", address, {"limit": limit, "commitment": "confirmed"})
        return [(row["signature"], row.get("memo")) for row in rows]

    def sighting(self, signature: str) -> Sighting | None:
        """What the chain shows of a transaction; None when no node has it at `confirmed` or above."""
        options = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0}
        final = self._call("getTransaction", signature, {**options, "commitment": "finalized"})
        found = final or self._call("getTransaction", signature, {**options, "commitment": "confirmed"})
        if found is None:
            return None
        try:
            return _read(signature, found, final is not None)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ChainUnavailable(f"Solana's answer for {signature} cannot be read: {error}") from error


def _read(signature: str, found: Mapping[str, Any], is_final: bool) -> Sighting:
    meta, message = found["meta"], found["transaction"]["message"]
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
