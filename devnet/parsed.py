"""A landed transaction as `getTransaction` shows it (jsonParsed for system transfers and memos)."""

import base64
from typing import Any

from devnet.chain import Landed

SYSTEM = "11111111111111111111111111111111"
MEMOS = {"MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"}
TRANSFER = 2


def show(landed: Landed, encoding: str) -> dict[str, Any]:
    """The answer's `result`."""
    body = {
        "slot": landed.slot,
        "blockTime": landed.block_time,
        "version": "legacy",
        "meta": {
            "err": landed.error,
            "status": {"Err": landed.error} if landed.error else {"Ok": None},
            "fee": max(0, sum(landed.pre) - sum(landed.post)),
            "preBalances": landed.pre,
            "postBalances": landed.post,
            "preTokenBalances": [],
            "postTokenBalances": [],
            "innerInstructions": [],
            "logMessages": landed.logs,
            "rewards": [],
        },
    }
    if encoding == "base64":
        return body | {"transaction": [base64.b64encode(landed.raw).decode(), "base64"]}
    return body | {"transaction": _transaction(landed)}


def _transaction(landed: Landed) -> dict[str, Any]:
    message = landed.transaction.message
    signers = message.header.num_required_signatures
    return {
        "signatures": [str(signature) for signature in landed.transaction.signatures],
        "message": {
            "accountKeys": [
                {
                    "pubkey": str(key),
                    "signer": index < signers,
                    "writable": message.is_maybe_writable(index),
                    "source": "transaction",
                }
                for index, key in enumerate(landed.keys)
            ],
            "recentBlockhash": str(message.recent_blockhash),
            "instructions": [_instruction(landed, item) for item in message.instructions],
        },
    }


def _instruction(landed: Landed, item: Any) -> dict[str, Any]:
    keys = [str(key) for key in landed.keys]
    program, data = keys[item.program_id_index], bytes(item.data)
    if program in MEMOS:
        return {"program": "spl-memo", "programId": program, "parsed": data.decode("utf-8", "replace"), "stackHeight": None}
    if program == SYSTEM and data[:4] == TRANSFER.to_bytes(4, "little"):
        accounts = bytes(item.accounts)
        info = {
            "source": keys[accounts[0]],
            "destination": keys[accounts[1]],
            "lamports": int.from_bytes(data[4:12], "little"),
        }
        return {"program": "system", "programId": program, "parsed": {"type": "transfer", "info": info}, "stackHeight": None}
    return {"programId": program, "accounts": [keys[index] for index in bytes(item.accounts)], "data": data.hex()}


def memos(landed: Landed) -> list[str]:
    """The memos of a transaction, as its history line shows them."""
    shown = (_instruction(landed, item) for item in landed.transaction.message.instructions)
    return [str(item["parsed"]) for item in shown if item.get("program") == "spl-memo"]
