"""Accounts, transactions and messages in toncenter v2's JSON."""

import base64
from typing import Any

from pytoniq_core import Address, Cell
from pytoniq_core.tlb.transaction import ExternalMsgInfo, InternalMsgInfo, MessageAny

from devnet.ton.addresses import friendly
from devnet.ton.blocks import block_id
from devnet.ton.ledger import Entry
from devnet.ton.machine import to_text

NO_HASH = base64.b64encode(bytes(32)).decode()
EXTRA = "0:0:0"
WALLETS = {
    "feb5ff6820e2ff0d9483e7e0d62c817d846789fb4ae580c878866d959dabd5c0": "wallet v4 r2",
    "20834b7b72b112147e1b2fb457b84e74d1a30f04f737d4f62a668e9552d2b72f": "wallet v5 r1",
}
TEXT_OP, ENCRYPTED_OP = bytes(4), bytes.fromhex("2167da4b")


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def transaction_id(entry: Entry | None) -> dict[str, str]:
    lt, digest = (str(entry.lt), in_base64(entry.cell.hash)) if entry else ("0", NO_HASH)
    return {"@type": "internal.transactionId", "lt": lt, "hash": digest}


def status_of(entry: Entry | None) -> str:
    account = entry.account if entry else None
    kind = account.storage.state.type_ if account else "account_uninit"
    return {"account_active": "active", "account_frozen": "frozen"}.get(kind, "uninitialized")


def balance_of(entry: Entry | None) -> int:
    account = entry.account if entry else None
    return int(account.storage.balance.grams) if account else 0


def code_and_data(entry: Entry | None) -> tuple[Cell | None, Cell | None]:
    if entry is None or status_of(entry) != "active":
        return None, None
    init = entry.account.storage.state.state_init  # type: ignore[union-attr]
    return init.code, init.data


def account_information(entry: Entry | None, seqno: int, unix_time: int) -> dict[str, Any]:
    code, data = code_and_data(entry)
    status = status_of(entry)
    frozen = entry.account.storage.state.state_hash if entry and entry.account and status == "frozen" else b""
    return {
        "@type": "raw.fullAccountState",
        "balance": str(balance_of(entry)),
        "extra_currencies": [],
        "code": to_text(code) if code else "",
        "data": to_text(data) if data else "",
        "last_transaction_id": transaction_id(entry),
        "block_id": block_id(seqno),
        "frozen_hash": in_base64(frozen),
        "sync_utime": unix_time,
        "@extra": EXTRA,
        "state": status,
    }


def extended_information(address: Address, entry: Entry | None, seqno: int, unix_time: int) -> dict[str, Any]:
    code, data = code_and_data(entry)
    wallet = wallet_fields(entry)
    if wallet.get("wallet_type") == "wallet v4 r2":
        state = {"@type": "wallet.v4.accountState", "wallet_id": str(wallet["wallet_id"]), "seqno": wallet["seqno"]}
    elif code is not None and data is not None:
        state = {"@type": "raw.accountState", "code": to_text(code), "data": to_text(data), "frozen_hash": ""}
    else:
        state = {"@type": "uninited.accountState", "frozen_hash": ""}
    return {
        "@type": "fullAccountState",
        "address": {"@type": "accountAddress", "account_address": friendly(address)},
        "balance": str(balance_of(entry)),
        "extra_currencies": [],
        "last_transaction_id": transaction_id(entry),
        "block_id": block_id(seqno),
        "sync_utime": unix_time,
        "account_state": state,
        "revision": 2 if wallet else 0,
        "@extra": EXTRA,
    }


def wallet_fields(entry: Entry | None) -> dict[str, Any]:
    """`wallet_type`, `seqno` and `wallet_id` of a wallet that is known here; else nothing."""
    code, data = code_and_data(entry)
    kind = WALLETS.get(code.hash.hex()) if code else None
    if kind is None or data is None:
        return {}
    part = data.begin_parse()
    first = {"is_signature_allowed": bool(part.load_bit())} if kind == "wallet v5 r1" else {}
    return {"wallet_type": kind, **first, "seqno": part.load_uint(32), "wallet_id": part.load_uint(32)}


def wallet_information(entry: Entry | None) -> dict[str, Any]:
    fields = wallet_fields(entry)
    return {
        "wallet": bool(fields),
        "balance": str(balance_of(entry)) if balance_of(entry) else 0,
        "extra_currencies": [],
        "account_state": status_of(entry),
        **fields,
        "last_transaction_id": transaction_id(entry),
    }


def transaction(address: Address, entry: Entry) -> dict[str, Any]:
    incoming, outgoing = entry.messages
    sent = [message(cell) for cell in outgoing]
    storage = getattr(entry.parsed.description, "storage_ph", None)
    storage_fee = int(storage.storage_fees_collected) if storage else 0
    fee = int(entry.parsed.total_fees.grams) + sum(int(it["fwd_fee"]) + int(it["ihr_fee"]) for it in sent)
    body: dict[str, Any] = {
        "@type": "raw.transaction",
        "address": {"@type": "accountAddress", "account_address": friendly(address)},
        "utime": int(entry.parsed.now),
        "data": entry.transaction,
        "transaction_id": transaction_id(entry),
        "fee": str(fee),
        "storage_fee": str(storage_fee),
        "other_fee": str(fee - storage_fee),
    }
    if incoming is not None:
        body["in_msg"] = message(incoming)
    return body | {"out_msgs": sent}


def message(cell: Cell) -> dict[str, Any]:
    parsed = MessageAny.deserialize(cell.begin_parse())
    info = parsed.info
    is_internal = isinstance(info, InternalMsgInfo)
    has_destination = is_internal or isinstance(info, ExternalMsgInfo)
    return {
        "@type": "raw.message",
        "hash": in_base64(cell.hash),
        "source": "" if isinstance(info, ExternalMsgInfo) else friendly(info.src),
        "destination": friendly(info.dest) if has_destination else "",
        "value": str(info.value.grams) if is_internal else "0",
        "extra_currencies": [],
        "fwd_fee": str(info.fwd_fee) if is_internal else "0",
        "ihr_fee": str(info.ihr_fee) if is_internal else "0",
        "created_lt": "0" if isinstance(info, ExternalMsgInfo) else str(info.created_lt),
        "body_hash": in_base64(parsed.body.hash),
        **_content(parsed),
    }


def _content(parsed: MessageAny) -> dict[str, Any]:
    """A text comment is given as text; everything else as a bag of cells, and `message` is then its first cell's bits."""
    body = parsed.body
    bits = body.begin_parse().load_bytes(len(body.bits) // 8)
    if bits[:4] == TEXT_OP and len(bits) >= 4:
        text = snake(body)[4:]
        return {"msg_data": {"@type": "msg.dataText", "text": in_base64(text)}, "message": _decoded(text)}
    if bits[:4] == ENCRYPTED_OP:
        return {"msg_data": {"@type": "msg.dataEncryptedText", "text": in_base64(snake(body)[4:])}}
    init = to_text(parsed.init.serialize()) if parsed.init else ""
    raw = base64.encodebytes(bits).decode()
    return {"msg_data": {"@type": "msg.dataRaw", "body": to_text(body), "init_state": init}, "message": raw}


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return ""


def snake(cell: Cell) -> bytes:
    """Bytes that go on in the first reference of each cell."""
    found = b""
    while True:
        found += cell.begin_parse().load_bytes(len(cell.bits) // 8)
        if not cell.refs:
            return found
        cell = cell.refs[0]
