"""The hub's door to an EVM chain: roots out as signed transactions, blocks in. What a node does not say clearly is not known."""

import sys
from typing import Any

import httpx

from app.adapters import authorities
from app.adapters.chains import json_rpc
from app.adapters.chains.json_rpc import MALFORMED, UNCLEAR
from app.errors import ChainUnavailable, ConfigError
from app.values import chain
from app.values.anchoring import Fees, Landing, OnChain, SignedAnchor

GAS_MARGIN_PERCENT = 125  # an estimate may be short by the time that the transaction is mined
GWEI = 10**9


class EvmGateway:
    """Asks the RPC nodes in turn; a time-out, a 429, a 5xx or garbage from all of them is ChainUnavailable.

    `key` is the sender's private key, hex; without one the chain can be read, not written. Transactions go from the sender to
    itself with the root as data: nothing is called and nothing but gas is spent.
    """

    def __init__(self, rpc_urls: tuple[str, ...], timeout_seconds: float, key: str = "", most_fee_gwei: int = 200) -> None:
        self._urls, self._timeout_seconds, self._key = rpc_urls, timeout_seconds, key
        self._most_fee_wei = most_fee_gwei * GWEI
        self._http = httpx.Client(verify=authorities.trusted(), timeout=timeout_seconds)
        self._account: Any = None

    @property
    def is_configured(self) -> bool:
        return bool(self._urls)

    @property
    def can_sign(self) -> bool:
        return bool(self._urls and self._key)

    @property
    def sender(self) -> str:
        """The address that anchors, from the key; ConfigError for a key that is none."""
        return str(self._signer().address)

    def _signer(self) -> Any:
        if self._account is None:
            limit = sys.getrecursionlimit()
            from eth_account import Account  # over a second to load, and only who anchors needs it

            # A library of its raises the limit a hundredfold for the whole process: JSON nested deep enough would then end it.
            sys.setrecursionlimit(limit)
            try:
                self._account = Account.from_key(self._key)
            except Exception:  # noqa: BLE001  the library's errors are of many kinds, and some repeat the key
                raise ConfigError("EVM_ANCHOR_KEY is no private key: 64 hex digits are one") from None
        return self._account

    def _call(self, method: str, *params: Any) -> Any:
        problem = "no RPC node is configured: set EVM_RPC_URL"
        for url in self._urls:
            try:
                body = self._ask(url, method, params)
                if "error" not in body:
                    return body["result"]
                problem = str(body["error"])
            except UNCLEAR as error:
                problem = f"{type(error).__name__}: {error}"
        raise ChainUnavailable(f"the EVM chain did not answer {method}: {problem[:200]}")

    def _ask(self, url: str, method: str, params: tuple[Any, ...]) -> Any:
        return json_rpc.call("evm", self._http, url, self._timeout_seconds, method, list(params))

    def _number(self, method: str, *params: Any) -> int:
        return _read(method, self._call(method, *params))

    def chain_id(self) -> int:
        return self._number("eth_chainId")

    def head(self) -> int:
        """The newest block's number."""
        return self._number("eth_blockNumber")

    def heads(self) -> list[chain.Head | None]:
        """How far each node is; None for one that does not say."""
        return [self._told_head(url) for url in self._urls]

    def _told_head(self, url: str) -> chain.Head | None:
        try:
            block = self._ask(url, "eth_getBlockByNumber", ("latest", False))["result"]
            return chain.Head(int(block["number"], 16), int(block["timestamp"], 16))
        except UNCLEAR:
            return None

    def mined_nonce(self, depth: int = 0) -> int:
        """The sender's first nonce that no block has; with `depth`, as of that many blocks before the newest."""
        place = "latest" if depth == 0 else hex(max(0, self.head() - depth))
        return self._number("eth_getTransactionCount", self.sender, place)

    def free_nonce(self) -> int:
        """The sender's first nonce that neither a block has nor the node's pool."""
        return self._number("eth_getTransactionCount", self.sender, "pending")

    def fees(self) -> Fees:
        """What to offer now: room for the base fee to double, never more than the settings allow."""
        block = self._call("eth_getBlockByNumber", "latest", False)
        priority = self._number("eth_maxPriorityFeePerGas")
        try:
            base = int(block["baseFeePerGas"], 16)
        except MALFORMED as error:
            raise ChainUnavailable(f"the EVM chain's newest block cannot be read: {error}") from error
        return self._capped(Fees(2 * base + priority, priority))

    def _capped(self, fees: Fees) -> Fees:
        return Fees(min(fees.most, self._most_fee_wei), min(fees.priority, fees.most, self._most_fee_wei))

    def raised(self, now: Fees, before: Fees) -> Fees | None:
        """Fees for a replacement; None when the settings allow no more."""
        wanted = now.raised_above(before)
        return wanted if wanted.most <= self._most_fee_wei else None

    def sign(self, data: bytes, chain_id: int, nonce: int, fees: Fees) -> SignedAnchor:
        """The transaction's bytes and hash. Only the gas is asked of the chain: nothing is sent."""
        call = {"from": self.sender, "to": self.sender, "data": f"0x{data.hex()}"}
        gas = self._number("eth_estimateGas", call) * GAS_MARGIN_PERCENT // 100
        transaction = {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "to": self.sender,
            "value": 0,
            "data": data,
            "gas": gas,
            "maxFeePerGas": fees.most,
            "maxPriorityFeePerGas": fees.priority,
        }
        signed = self._signer().sign_transaction(transaction)
        return SignedAnchor(bytes(signed.raw_transaction), f"0x{bytes(signed.hash).hex()}", fees)

    def send(self, raw: bytes) -> str:
        """Hand over bytes; returns what the first node said that answered. ChainUnavailable: they may have arrived or not.

        A refusal decides nothing: the node may have had them before, or another attempt may be in a block. The chain is asked.
        """
        problem = "no RPC node is configured"
        for url in self._urls:
            try:
                body = self._ask(url, "eth_sendRawTransaction", (f"0x{raw.hex()}",))
                return str(body["error"]["message"]) if "error" in body else "taken"
            except UNCLEAR as error:
                problem = f"{type(error).__name__}: {error}"
        raise ChainUnavailable(f"the EVM chain did not say whether it took the transaction: {problem[:200]}")

    def is_known(self, tx_hash: str) -> bool:
        """Whether a block or the node's pool has the transaction."""
        return self._call("eth_getTransactionByHash", tx_hash) is not None

    def landing(self, tx_hash: str) -> Landing | None:
        """The block that has the transaction; None while none has."""
        receipt = self._call("eth_getTransactionReceipt", tx_hash)
        if receipt is None:
            return None
        try:
            return Landing(int(receipt["blockNumber"], 16), str(receipt["blockHash"]))
        except MALFORMED as error:
            raise ChainUnavailable(f"the EVM chain's receipt of {tx_hash} cannot be read: {error}") from error

    def on_chain(self, tx_hash: str) -> OnChain | None:
        """A mined transaction's data as anybody can read it; None when no block has it."""
        found = self._call("eth_getTransactionByHash", tx_hash)
        try:
            if found is None or found["blockNumber"] is None:
                return None
            if found["hash"].lower() != tx_hash.lower():
                raise ValueError("it is of another transaction")
            data = bytes.fromhex(found["input"].removeprefix("0x"))
            return OnChain(data, int(found["blockNumber"], 16), str(found["from"]))
        except MALFORMED as error:
            raise ChainUnavailable(f"the EVM chain's answer for {tx_hash} cannot be read: {error}") from error


def _read(method: str, value: Any) -> int:
    try:
        return int(value, 16)
    except MALFORMED as error:
        raise ChainUnavailable(f"the EVM chain's answer to {method} cannot be read: {error}") from error
