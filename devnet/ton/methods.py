"""toncenter v2's methods over the chain. Each takes the call's parameters by name; ApiError says no."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from pytoniq_core import Cell

from devnet.ton import addresses, stack, views
from devnet.ton.blocks import LT_PER_BLOCK, block_hash, block_id
from devnet.ton.chain import Chain, NotAccepted, message_hash
from devnet.ton.errors import ApiError, invalid, liteserver
from devnet.ton.faults import Faults
from devnet.ton.ledger import Entry
from devnet.ton.machine import Refused, to_text
from devnet.ton.messages import external, state_init

GLOBAL_ID = -3  # as the test network: what is signed for this chain is no good on the mainnet
NO_CODE = -13  # what running a method of nothing ends with
PAGE_LIMIT = 100
FIRST_LITERAL, LAST_SEQNO = 1, 2**31 - 1
Params = dict[str, Any]


def whole(params: Params, name: str, default: int | None = None, least: int = 0, most: int = 2**64 - 1) -> int | None:
    """A parameter that is a whole number, which toncenter takes as text too."""
    value = params.get(name)
    if value is None or value == "":
        return default
    try:
        number = int(value) if not isinstance(value, bool | float) else None
    except (ValueError, TypeError):
        number = None
    if number is None or not least <= number <= most:
        raise invalid(f"{name} must be a whole number from {least} to {most}")
    return number


def text(params: Params, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(f"{name} is required")
    return value


def bag_of_cells(value: str, name: str) -> Cell:
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"{name} is not base64") from None
    try:
        return Cell.one_from_boc(data)
    except Exception as error:  # noqa: BLE001  the library fails in many ways on bytes that are no cells
        raise liteserver(f"cannot deserialize bag-of-cells: {error!r}"[:200]) from None


class Methods:
    def __init__(self, chain: Chain, faults: Faults) -> None:
        self.chain, self.faults = chain, faults

    def table(self) -> dict[str, Callable[[Params], Any]]:
        return {
            "getMasterchainInfo": self.masterchain_info,
            "getConsensusBlock": self.consensus_block,
            "getBlockHeader": self.block_header,
            "lookupBlock": self.lookup_block,
            "shards": self.shards,
            "getAddressInformation": self.address_information,
            "getExtendedAddressInformation": self.extended_information,
            "getAddressBalance": lambda params: str(views.balance_of(self._seen(params)[1])),
            "getAddressState": lambda params: views.status_of(self._seen(params)[1]),
            "getWalletInformation": lambda params: views.wallet_information(self._seen(params)[1]),
            "getTransactions": self.transactions,
            "sendBoc": self.send_boc,
            "sendBocReturnHash": self.send_boc_return_hash,
            "runGetMethod": self.run_get_method,
            "estimateFee": self.estimate_fee,
            "detectAddress": lambda params: addresses.forms(text(params, "address")),
            "packAddress": lambda params: addresses.friendly(addresses.read(params.get("address"))),
            "unpackAddress": lambda params: addresses.read(params.get("address")).to_str(False),
        }

    # blocks

    def head(self) -> int:
        """The newest block that this server admits to."""
        return max(1, self.chain.head() - self.faults.lag_blocks)

    def masterchain_info(self, _: Params) -> dict[str, Any]:
        head = self.head()
        return {
            "@type": "blocks.masterchainInfo",
            "last": block_id(head),
            "state_root_hash": block_hash(head, -1, "state"),
            "init": {**block_id(0), "shard": "0"},
            "@extra": views.EXTRA,
        }

    def consensus_block(self, _: Params) -> dict[str, Any]:
        head = self.head()
        return {"consensus_block": head, "timestamp": self.chain.blocks.unix_time(head)}

    def _known(self, params: Params) -> tuple[int, int]:
        """The workchain and number of a block that is there."""
        workchain = whole(params, "workchain", -1, -1, 0)
        seqno = whole(params, "seqno", None, 0, LAST_SEQNO)
        if seqno is None:
            raise invalid("seqno is required")
        if not 1 <= seqno <= self.head():
            raise liteserver("block is not applied" if seqno else "block not found")
        return int(workchain or 0), seqno

    def block_header(self, params: Params) -> dict[str, Any]:
        workchain, seqno = self._known(params)
        return {
            "@type": "blocks.header",
            "id": block_id(seqno, workchain),
            "global_id": GLOBAL_ID,
            "version": 0,
            "flags": 1,
            "after_merge": False,
            "after_split": False,
            "before_split": False,
            "want_merge": True,
            "want_split": False,
            "validator_list_hash_short": 0,
            "catchain_seqno": 0,
            "min_ref_mc_seqno": max(0, seqno - 1),
            "is_key_block": False,
            "prev_key_block_seqno": 0,
            "start_lt": str(seqno * LT_PER_BLOCK),
            "end_lt": str((seqno + 1) * LT_PER_BLOCK - 1),
            "gen_utime": self.chain.blocks.unix_time(seqno),
            "vert_seqno": 0,
            "prev_blocks": [block_id(seqno - 1, workchain)],
            "@extra": views.EXTRA,
        }

    def lookup_block(self, params: Params) -> dict[str, Any]:
        if (lt := whole(params, "lt")) is not None:
            params = params | {"seqno": lt // LT_PER_BLOCK}
        workchain, seqno = self._known(params)
        return block_id(seqno, workchain)

    def shards(self, params: Params) -> dict[str, Any]:
        _, seqno = self._known(params)
        return {"@type": "blocks.shards", "shards": [block_id(seqno, 0)], "@extra": views.EXTRA}

    # accounts

    def _seen(self, params: Params) -> tuple[int, Entry | None]:
        """A block and an account's last transaction in or before it."""
        address = addresses.read(params.get("address"))
        head = self.head()
        seqno = whole(params, "seqno", head, 0, LAST_SEQNO)
        if seqno is None or seqno > head:
            raise liteserver("block is not applied")
        return seqno, self.chain.last(address, seqno)

    def address_information(self, params: Params) -> dict[str, Any]:
        seqno, entry = self._seen(params)
        return views.account_information(entry, seqno, self.chain.blocks.unix_time(seqno))

    def extended_information(self, params: Params) -> dict[str, Any]:
        seqno, entry = self._seen(params)
        address = addresses.read(params.get("address"))
        return views.extended_information(address, entry, seqno, self.chain.blocks.unix_time(seqno))

    def transactions(self, params: Params) -> list[dict[str, Any]]:
        """Newest first, from (`lt`, `hash`) on if both are given, down to `to_lt` without it."""
        address = addresses.read(params.get("address"))
        limit = whole(params, "limit", 10, 1, PAGE_LIMIT)
        lt, to_lt = whole(params, "lt"), whole(params, "to_lt", 0) or 0
        found = self.chain.ledger.entries(address.to_str(False), self.head())
        if lt and params.get("hash"):
            digest = _digest(params["hash"])
            found = [entry for entry in found if entry.lt <= lt]
            if not found or found[-1].lt != lt or found[-1].cell.hash != digest:
                raise liteserver("cannot locate transaction in block with specified logical time")
        newest_first = [entry for entry in reversed(found) if entry.lt > to_lt][:limit]
        return self.faults.told([views.transaction(address, entry) for entry in newest_first])

    # sending

    def _send(self, params: Params) -> Cell:
        message = bag_of_cells(text(params, "boc"), "boc")
        if self.faults.takes_and_loses():
            return message
        try:
            self.chain.send(message)
        except NotAccepted as refusal:
            raise liteserver(f"cannot apply external message to current state : {refusal}") from None
        return message

    def send_boc(self, params: Params) -> dict[str, Any]:
        self._send(params)
        return {"@type": "ok", "@extra": views.EXTRA}

    def send_boc_return_hash(self, params: Params) -> dict[str, Any]:
        message = self._send(params)
        return {"@type": "raw.extMessageInfo", "hash": message_hash(message), "@extra": views.EXTRA}

    # running

    def run_get_method(self, params: Params) -> dict[str, Any]:
        seqno, entry = self._seen(params)
        method = params.get("method")
        if not isinstance(method, str | int) or isinstance(method, bool) or method == "":
            raise invalid("method must be a name or a number")
        given = stack.read(params.get("stack", []))
        code, data = views.code_and_data(entry)
        result: dict[str, Any] = {"@type": "smc.runResult", "gas_used": 0, "stack": [], "exit_code": NO_CODE}
        if code is not None and data is not None:
            address, now = addresses.read(params.get("address")), self.chain.blocks.unix_time(seqno)
            found = self.chain.machine.run_get_method(code, data, address, views.balance_of(entry), now, method, given)
            if not found["success"]:
                raise liteserver(str(found.get("error")))
            result |= {"gas_used": int(found["gas_used"]), "exit_code": int(found["vm_exit_code"])}
            result["stack"] = stack.write(found["stack"])
        ids = {"block_id": block_id(seqno), "last_transaction_id": views.transaction_id(entry)}
        return result | {"@extra": views.EXTRA} | ids

    def estimate_fee(self, params: Params) -> dict[str, Any]:
        """From a run on the newest state; `ignore_chksig` (true unless given) takes any signature for a good one."""
        address = addresses.read(params.get("address"))
        body = bag_of_cells(text(params, "body"), "body")
        code, data = params.get("init_code") or "", params.get("init_data") or ""
        init = state_init(bag_of_cells(code, "init_code"), bag_of_cells(data, "init_data")) if code and data else None
        head, name = self.chain.head(), address.to_str(False)
        message, chain = external(address, body, init), self.chain
        lax = bool(params.get("ignore_chksig", True))
        try:
            done = chain.machine.run(
                chain.ledger.state(name), to_text(message), chain.blocks.unix_time(head), (head + 1) * LT_PER_BLOCK, lax
            )
        except Refused as refusal:
            raise ApiError(500, f"LITE_SERVER_UNKNOWN: the contract refuses with {refusal}") from None
        fees = {"@type": "fees", **_fees(Entry(head, done.transaction, done.state))}
        return {"@type": "query.fees", "source_fees": fees, "destination_fees": [], "@extra": views.EXTRA}


def _fees(entry: Entry) -> dict[str, int]:
    description = entry.parsed.description
    action = description.action
    gas = int(getattr(description.compute_ph, "gas_fees", 0) or 0)
    storage = int(description.storage_ph.storage_fees_collected) if description.storage_ph else 0
    actions = int(getattr(action, "total_action_fees", 0) or 0)
    forward = int(getattr(action, "total_fwd_fees", 0) or 0)
    incoming = int(entry.parsed.total_fees.grams) - gas - storage - actions
    return {"in_fwd_fee": incoming, "storage_fee": storage, "gas_fee": gas, "fwd_fee": forward}


def _digest(value: object) -> bytes:
    """A transaction's hash in hex or base64."""
    try:
        written = str(value)
        found = bytes.fromhex(written) if len(written) == 64 else base64.b64decode(written.replace("-", "+").replace("_", "/"))
        if len(found) == 32:
            return found
    except ValueError:
        pass
    raise invalid("hash must be 64 hex digits or 44 base64 characters")
