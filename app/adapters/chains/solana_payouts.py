"""The hub's door to Solana for payouts. What decides about money, every configured node must say alike; else nothing is known."""

import base64
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from app.adapters import authorities
from app.adapters.chains import json_rpc
from app.adapters.chains.json_rpc import MALFORMED, UNCLEAR
from app.errors import ChainUnavailable, ChainUnreadable
from app.values import clock
from app.values.chain import Head
from app.values.money import Money
from app.values.payouts import BATCH, SOLANA, UNDECIDED, Fate, Order, Outgoing, Page, Signing, Terms
from app.values.solana_payouts import TOKEN, Shown, opens_account, parts, payer_of, token_account
from app.values.states import SigningOutcome

FINAL = {"commitment": "finalized"}
CONFIRMED = {"commitment": "confirmed"}
PAGE, MOST_PAGES = 1000, 50
ACCOUNTS = 100  # of which a node tells in one answer, at most
FEE_LAMPORTS, RENT_LAMPORTS = 5000, 2_039_280
WALLET_RENT_LAMPORTS = 890_880  # a wallet with less than this fails every transaction that leaves it so


class SolanaPayouts:
    """One signature, one transaction: the same bytes never land twice, and a block hash ends their life.

    `opens_from`: the signer opens no payee's token account for less, by asset; both must have the same setting.
    ChainUnavailable when a node does not answer, answers with an error, or lies behind.
    """

    name = SOLANA
    batch = BATCH

    def __init__(
        self,
        rpc_urls: tuple[str, ...],
        timeout_seconds: float,
        mints: Mapping[str, str],
        lag_seconds: int,
        opens_from: Mapping[str, Money] | None = None,
    ) -> None:
        self._urls, self._timeout_seconds, self._mints, self._lag_seconds = rpc_urls, timeout_seconds, mints, lag_seconds
        self._opens_from = opens_from or {}
        self._http = httpx.Client(verify=authorities.trusted(), timeout=timeout_seconds)

    def _ask(self, url: str, method: str, *params: Any) -> Any:
        try:
            body = json_rpc.call(SOLANA, self._http, url, self._timeout_seconds, method, list(params))
            if "error" not in body:
                return body["result"]
            problem = str(body["error"])
        except UNCLEAR as error:
            problem = f"{type(error).__name__}: {error}"
        raise ChainUnavailable(f"Solana did not answer {method}: {problem[:200]}")

    def terms(self, source: str) -> Terms:
        """The newest final block hash that all nodes know; not while one of them lies behind."""
        found = [self._head(url) for url in self._urls]
        oldest = min(found, key=lambda terms: terms.slot or 0)
        for url in self._urls:
            valid = self._ask(url, "isBlockhashValid", oldest.blockhash, {"commitment": "processed"})
            if not isinstance(valid, dict) or valid.get("value") is not True:
                raise ChainUnavailable("Solana's nodes do not agree on a block hash")
        return oldest

    def _head(self, url: str) -> Terms:
        """A node's newest final block, which must be of now: one that lies behind knows neither what landed nor what expired."""
        try:
            answer = self._ask(url, "getLatestBlockhash", FINAL)
            slot, value = int(answer["context"]["slot"]), answer["value"]
            block_time = int(self._ask(url, "getBlockTime", slot))
            height = int(value["lastValidBlockHeight"])
            terms = Terms(blockhash=str(value["blockhash"]), slot=slot, expires_at_height=height)
        except MALFORMED as error:
            raise ChainUnreadable(f"Solana's newest block can't be read: {error}") from error
        late_seconds = clock.now().timestamp() - block_time
        if late_seconds > self._lag_seconds:
            raise ChainUnavailable(f"a Solana node lies {late_seconds:.0f} s behind")
        return terms

    def heads(self) -> list[Head | None]:
        """How far each node is; None for one that does not say."""
        return [self._told_head(url) for url in self._urls]

    def _told_head(self, url: str) -> Head | None:
        try:
            slot = int(self._ask(url, "getSlot", FINAL))
            return Head(slot, int(self._ask(url, "getBlockTime", slot)))
        except (ChainUnavailable, *MALFORMED):
            return None

    def holdings(self, source: str) -> dict[str, int]:
        """What the wallet has of every asset that is known here, as `funds` says it."""
        return {asset: self.funds(source, asset) for asset in ("SOL", *self._mints)}

    def affordable(self, source: str, orders: Sequence[Order]) -> tuple[Order, ...]:
        """Of these orders, those that the wallet can pay now, fees and rents of token accounts counted."""
        has = {asset: self.funds(source, asset) for asset in {"SOL", *(order.asset for order in orders)}}
        has["SOL"] -= FEE_LAMPORTS + WALLET_RENT_LAMPORTS
        found = []
        for order in orders:
            is_sol = order.asset == "SOL"
            rent = 0 if is_sol or not opens_account(order, self._opens_from) else RENT_LAMPORTS
            if has[order.asset] >= order.amount_minor and has["SOL"] >= rent + (order.amount_minor if is_sol else 0):
                has[order.asset] -= order.amount_minor
                has["SOL"] -= rent
                found.append(order)
        return tuple(found)

    def unopened(self, orders: Sequence[Order]) -> Mapping[uuid.UUID, str]:
        """Of these payouts, those whose payee has no token account and that are too small for us to open one: what he has to do.

        The first node's word is enough: a transaction that finds no account fails, and opens none.
        """
        places = {order: place for order in orders if (place := self._place(order)) is not None}
        wanted = list(dict.fromkeys(places.values()))
        found = set[str]()
        for start in range(0, len(wanted), ACCOUNTS):
            found |= self._token_accounts(wanted[start : start + ACCOUNTS])
        return {order.payout_id: self._advice(order) for order, place in places.items() if place not in found}

    def _place(self, order: Order) -> str | None:
        """The token account that must be there for a payout; None where it is opened, or the signer says what is wrong."""
        if order.asset not in self._mints or opens_account(order, self._opens_from):
            return None
        try:
            return str(token_account(Pubkey.from_string(order.destination), Pubkey.from_string(self._mints[order.asset])))
        except ValueError:
            return None

    def _token_accounts(self, addresses: Sequence[str]) -> set[str]:
        """Those of the addresses at which the token program keeps something: anybody may send a few lamports to the others."""
        options = {**CONFIRMED, "encoding": "base64", "dataSlice": {"offset": 0, "length": 0}}
        answer = self._ask(self._urls[0], "getMultipleAccounts", list(addresses), options)
        try:
            rows = zip(addresses, answer["value"], strict=True)
            return {address for address, row in rows if row is not None and row["owner"] == str(TOKEN)}
        except MALFORMED as error:
            raise ChainUnreadable(f"Solana's token accounts can't be read: {error}") from error

    def _advice(self, order: Order) -> str:
        least = str(self._opens_from[order.asset]).rstrip("0").rstrip(".")
        said = f"open one, or let at least {least} {order.asset} gather for one payout"
        return f"the wallet {order.destination} has no {order.asset} account: {said}"

    def funds(self, source: str, asset: str) -> int:
        """What the wallet has, final, in minor units: what the first node says. Nothing of an asset that has no mint here."""
        if asset != "SOL" and asset not in self._mints:
            return 0
        try:
            if asset == "SOL":
                return int(self._ask(self._urls[0], "getBalance", source, FINAL)["value"])
            chosen = {"mint": self._mints[asset]}
            answer = self._ask(self._urls[0], "getTokenAccountsByOwner", source, chosen, {**FINAL, "encoding": "jsonParsed"})
            infos = [row["account"]["data"]["parsed"]["info"] for row in answer["value"]]
            return sum(int(info["tokenAmount"]["amount"]) for info in infos)
        except MALFORMED as error:
            raise ChainUnreadable(f"Solana's balance of {source} can't be read: {error}") from error

    def sender(self, raw: bytes) -> str:
        """The wallet that signed bytes leave from."""
        return payer_of(raw)

    def send(self, raw: bytes) -> str:
        """Hand the bytes to every node; what they answered, for the log only. ChainUnavailable when none took them: it may have
        been all the same."""
        options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 5}
        answers, is_taken = [], False
        for url in self._urls:
            try:
                answers.append(str(self._ask(url, "sendTransaction", base64.b64encode(raw).decode(), options)))
                is_taken = True
            except ChainUnavailable as error:
                answers.append(error.message)
        if not is_taken:
            raise ChainUnavailable("; ".join(answers)[:500])
        return "; ".join(answers)

    def fate(self, signing: Signing) -> Fate:
        """Landed when every node shows it final. Expired when every node is past its last block and its whole history does not
        have it. Everything else is undecided."""
        looks = [self._look(url, signing) for url in self._urls]
        if any(look.outcome != looks[0].outcome or look.error != looks[0].error for look in looks):
            return Fate(is_known=any(look.is_known for look in looks))
        return Fate(**{**_fields(looks[0]), "is_known": any(look.is_known for look in looks)})

    def _look(self, url: str, signing: Signing) -> Fate:
        """What one node says. How far it is comes first: an address may hide many nodes, and a status of one that lies behind
        says nothing."""
        tx_hash, terms = signing.signed.tx_hash, signing.signed.terms
        try:
            epoch = self._ask(url, "getEpochInfo", FINAL)
            height, slot = int(epoch["blockHeight"]), int(epoch["absoluteSlot"])
            answer = self._ask(url, "getSignatureStatuses", [tx_hash], {"searchTransactionHistory": True})
            status = answer["value"][0]
            if status is None and int(answer["context"]["slot"]) < slot:
                return UNDECIDED
            if status is not None:
                is_final = status["confirmationStatus"] == "finalized"
                return self._landed(url, signing, status["err"]) if is_final else Fate(is_known=True)
            if terms.expires_at_height is None or height <= terms.expires_at_height:
                return UNDECIDED
            return self._expired(url, terms)
        except MALFORMED as error:
            raise ChainUnreadable(f"Solana's status of {tx_hash} can't be read: {error}") from error

    def _expired(self, url: str, terms: Terms) -> Fate:
        """Past its last block; believed only of a node that is of now, takes the hash for dead, and has the blocks since then."""
        self._head(url)
        is_valid = self._ask(url, "isBlockhashValid", terms.blockhash, {"commitment": "processed"})["value"]
        first = int(self._ask(url, "getFirstAvailableBlock"))
        if is_valid is not False or first > (terms.slot or 0):
            return UNDECIDED
        return Fate(SigningOutcome.EXPIRED, error="its block hash expired")

    def _landed(self, url: str, signing: Signing, error: Any) -> Fate:
        shown = self._ask(url, "getTransaction", signing.signed.tx_hash, _OPTIONS)
        if shown is None:
            return Fate(is_known=True)
        raw = base64.b64decode(shown["transaction"][0])
        if (signing.signed.raw and raw != signing.signed.raw) or shown["meta"]["err"] != error:
            raise ChainUnreadable(f"Solana shows another transaction as {signing.signed.tx_hash}")
        is_paid = error is None
        return Fate(
            SigningOutcome.LANDED if is_paid else SigningOutcome.FAILED,
            True,
            frozenset(order.payout_id for order in signing.signed.orders) if is_paid else frozenset(),
            None if is_paid else str(error),
            signing.signed.tx_hash,
            int(shown["slot"]),
            _moment(shown.get("blockTime")),
        )

    def outgoing(self, source: str, cursor: str | None) -> Page:
        """Final transactions by which money left, since `cursor` (a signature): of all nodes together, the oldest first."""
        rows: dict[str, int] = {}
        for url in self._urls:
            rows |= self._history(url, source, cursor, self._head(url).slot)
        order = sorted(rows, key=lambda signature: rows[signature])
        found = [(signature, self._outgoing(signature, source)) for signature in order]
        return Page(tuple((place, item) for place, item in found if item is not None), order[-1] if order else cursor)

    def _history(self, url: str, source: str, cursor: str | None, slot: int | None) -> dict[str, int]:
        """Signature → its place, the newest the highest; a node's order within a slot is kept. Of a node that has seen `slot`."""
        rows: list[tuple[str, int]] = []
        before: str | None = None
        for _ in range(MOST_PAGES):
            given = {"limit": PAGE, "until": cursor, "before": before, "minContextSlot": slot, **FINAL}
            page = self._ask(url, "getSignaturesForAddress", source, {key: value for key, value in given.items() if value})
            try:
                rows += [(str(row["signature"]), int(row["slot"])) for row in page]
                if len(page) < PAGE:
                    return {signature: slot * 10**6 - place for place, (signature, slot) in enumerate(rows)}
                before = rows[-1][0]
            except MALFORMED as error:
                raise ChainUnreadable(f"Solana's list for {source} can't be read: {error}") from error
        raise ChainUnreadable(f"{source} has more than {PAGE * MOST_PAGES} transactions that were not read")

    def _outgoing(self, signature: str, source: str) -> Outgoing | None:
        for url in self._urls:
            shown = self._ask(url, "getTransaction", signature, _OPTIONS)
            if shown is not None:
                break
        else:
            raise ChainUnreadable(f"no Solana node shows {signature}, which they list")
        try:
            if shown["meta"]["err"] is not None:
                return None
            found = parts(_shown(shown), source, self._mints)
            slot, block_time = int(shown["slot"]), _moment(shown.get("blockTime"))
        except MALFORMED as error:
            raise ChainUnreadable(f"Solana's transaction {signature} can't be read: {error}") from error
        return None if found is None else Outgoing(signature, signature, slot, block_time, *found)


_OPTIONS = {"encoding": "base64", "maxSupportedTransactionVersion": 0, **FINAL}


def _fields(fate: Fate) -> dict[str, Any]:
    return {name: getattr(fate, name) for name in Fate.__slots__}


def _moment(seconds: Any) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)


def _shown(body: Mapping[str, Any]) -> Shown:
    raw = base64.b64decode(body["transaction"][0])
    meta = body["meta"]
    loaded = meta.get("loadedAddresses") or {}
    more = tuple([*loaded.get("writable", []), *loaded.get("readonly", [])])
    keys = [*map(str, VersionedTransaction.from_bytes(raw).message.account_keys), *more]
    changes = {key: after - before for key, before, after in zip(keys, meta["preBalances"], meta["postBalances"], strict=True)}
    tokens: dict[tuple[str, str], int] = {}
    owners: dict[str, tuple[str, str]] = {}
    for sign, name in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
        for row in meta.get(name) or []:
            place = (str(row["owner"]), str(row["mint"]))
            owners[keys[row["accountIndex"]]] = place
            tokens[place] = tokens.get(place, 0) + sign * int(row["uiTokenAmount"]["amount"])
    return Shown(raw, int(meta["fee"]), changes, tokens, owners, more)
