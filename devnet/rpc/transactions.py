"""Transactions in and out."""

import base64
from typing import Any

from solders.message import MessageV0, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from devnet.chain import FEE_PER_SIGNATURE, Chain, decode
from devnet.errors import InvalidParams, RpcError
from devnet.history import Landed, Outcome
from devnet.rpc import params
from devnet.rpc.context import context
from devnet.slots import FINAL_SLOTS
from devnet.views import accounts as account_views
from devnet.views import transactions as views

STATUSES_LIMIT = 256
HISTORY_LIMIT = 1_000


class TransactionMethods:
    def __init__(self, chain: Chain) -> None:
        self._chain, self._slots = chain, chain.slots

    def sendTransaction(self, transaction: Any, given: Any = None) -> str:
        options = params.options(given)
        params.commitment(options, "preflightCommitment")
        params.check_context(options, self._slots)
        raw = params.raw(transaction, options.get("encoding"))
        return self._chain.send(raw, params.flag(options, "skipPreflight"))

    def simulateTransaction(self, transaction: Any, given: Any = None) -> dict[str, Any]:
        options = params.options(given)
        params.check_context(options, self._slots)
        slot = self._slots.at(params.commitment(options))
        asked = decode(params.raw(transaction, options.get("encoding")))
        must_verify, replaces = params.flag(options, "sigVerify"), params.flag(options, "replaceRecentBlockhash")
        if must_verify and replaces:
            raise InvalidParams("sigVerify may not be used with replaceRecentBlockhash")
        if must_verify and not all(asked.verify_with_results()):
            raise RpcError(-32003, "Transaction signature verification failure")
        if replaces or self._chain.is_current(asked):
            outcome, after = self._chain.simulate(asked)
        else:
            outcome, after = Outcome("BlockhashNotFound", [], ran=False), {}
        value = self._simulated(asked, outcome, params.flag(options, "innerInstructions"))
        value["accounts"] = self._accounts_after(options.get("accounts"), after)
        if replaces:
            blockhash = self._slots.blockhash(self._slots.now)
            height = self._slots.last_valid_height(blockhash)
            value["replacementBlockhash"] = {"blockhash": str(Pubkey(blockhash)), "lastValidBlockHeight": height}
        return context(slot, value)

    def _simulated(self, transaction: VersionedTransaction, outcome: Outcome, with_inner: bool) -> dict[str, Any]:
        keys = [str(key) for key in transaction.message.account_keys]
        return {
            "err": outcome.error,
            "logs": outcome.logs,
            "unitsConsumed": outcome.units,
            "returnData": views.returned_data(outcome),
            "innerInstructions": views.inner_instructions(keys, outcome, True) if with_inner else None,
        }

    def _accounts_after(self, wanted: Any, after: dict[Pubkey, Any]) -> list[Any] | None:
        if wanted is None:
            return None
        options = params.options(wanted)
        encoding = account_views.check_encoding(options.get("encoding") or "base64")
        keys = [params.pubkey(address) for address in params.items(options.get("addresses"), "addresses", 100)]
        with self._chain.lock:
            accounts = self._chain.accounts
            return [account_views.show(accounts, after.get(key) or accounts.now(key), encoding, "processed") for key in keys]

    def getFeeForMessage(self, message: Any, given: Any = None) -> dict[str, Any]:
        options = params.options(given)
        slot = self._slots.at(params.commitment(options))
        try:
            asked = from_bytes_versioned(base64.b64decode(params.text(message, "message"), validate=True))
        except Exception as error:  # solders raises several kinds, none of them a ValueError
            raise InvalidParams(f"the message cannot be decoded: {error}") from error
        is_current = self._slots.is_recent(bytes(asked.recent_blockhash))
        return context(slot, FEE_PER_SIGNATURE * asked.header.num_required_signatures if is_current else None)

    def getSignatureStatuses(self, signatures: Any, given: Any = None) -> dict[str, Any]:
        """Without `searchTransactionHistory` a node remembers only what is as young as a block hash may be."""
        wanted = [params.signature(item) for item in params.items(signatures, "signatures", STATUSES_LIMIT)]
        search = params.flag(params.options(given), "searchTransactionHistory")
        with self._chain.lock:
            oldest = 0 if search else self._slots.now - self._slots.blockhash_blocks - FINAL_SLOTS
            found = [self._chain.history.get(item) for item in wanted]
            rows = [views.signature_status(item, self._slots) if item and item.slot >= oldest else None for item in found]
        return context(self._slots.now, rows)

    def getTransaction(self, signature: Any, given: Any = None) -> dict[str, Any] | None:
        options = {"encoding": given} if isinstance(given, str) else params.options(given)
        wanted, word = params.signature(signature), params.landed_commitment(options)
        encoding, newest = options.get("encoding") or "json", options.get("maxSupportedTransactionVersion")
        if encoding not in views.ENCODINGS:
            raise InvalidParams(f"unknown variant `{encoding}`, expected one of {', '.join(views.ENCODINGS)}")
        if newest is not None:
            params.number(newest, "maxSupportedTransactionVersion", 255)
        with self._chain.lock:
            landed = self._chain.history.get(wanted)
        if landed is None or not self._slots.has_reached(landed.slot, word):
            return None
        if newest is None and isinstance(landed.transaction.message, MessageV0):
            raise RpcError(
                -32015,
                "Transaction version (0) is not supported by the requesting client. Please try the request again with the "
                'following configuration parameter: "maxSupportedTransactionVersion": 0',
            )
        return views.show(landed, encoding, with_version=newest is not None)

    def getSignaturesForAddress(self, address: Any, given: Any = None) -> list[dict[str, Any]]:
        """The newest first, from behind `before` back to (and without) `until`."""
        key, options = str(params.pubkey(address)), params.options(given)
        word = params.landed_commitment(options)
        params.check_context(options, self._slots)
        limit = HISTORY_LIMIT if options.get("limit") is None else params.number(options["limit"], "limit", HISTORY_LIMIT, 1)
        before, until = (params.signature(options[name]) if options.get(name) else None for name in ("before", "until"))
        rows: list[dict[str, Any]] = []
        with self._chain.lock:
            for landed in self._older_than(before, key):
                if landed.signature == until or len(rows) == limit:
                    break
                if self._slots.has_reached(landed.slot, word):
                    rows.append(views.history_row(landed, self._slots))
        return rows

    def _older_than(self, before: str | None, address: str) -> list[Landed]:
        """`before` may be any transaction of the chain, as on a cluster; an unknown one leaves nothing."""
        found = self._chain.history.of_address(address)
        if before is None:
            return found[::-1]
        border = self._chain.history.get(before)
        return [] if border is None else [item for item in reversed(found) if item.number < border.number]
