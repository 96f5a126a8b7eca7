"""A landed transaction as `getTransaction` shows it."""

import base64
from collections.abc import Iterable
from typing import Any

from solders.instruction import CompiledInstruction
from solders.message import MessageV0
from solders.pubkey import Pubkey

from devnet import base58
from devnet.history import Landed, Outcome, TokenBalance, is_writable
from devnet.slots import FINAL_SLOTS, Slots
from devnet.views import instructions
from devnet.views.accounts import amount

ENCODINGS = ("json", "jsonParsed", "base64", "base58")


def version(landed: Landed) -> str | int:
    return 0 if isinstance(landed.transaction.message, MessageV0) else "legacy"


def show(landed: Landed, encoding: str, with_version: bool) -> dict[str, Any]:
    """`with_version`: the client said which versions it knows."""
    is_parsed = encoding == "jsonParsed"
    body: dict[str, Any] = {"slot": landed.slot, "blockTime": landed.block_time, "meta": _meta(landed, is_parsed)}
    if with_version:
        body["version"] = version(landed)
    if encoding == "base64":
        return body | {"transaction": [base64.b64encode(landed.raw).decode(), encoding]}
    if encoding == "base58":
        return body | {"transaction": [base58.encode(landed.raw), encoding]}
    signatures = [str(signature) for signature in landed.transaction.signatures]
    message = _parsed_message(landed) if is_parsed else _message(landed)
    return body | {"transaction": {"signatures": signatures, "message": message}}


def status(error: Any) -> dict[str, Any]:
    return {"Ok": None} if error is None else {"Err": error}


def signature_status(landed: Landed, slots: Slots) -> dict[str, Any]:
    """One entry of `getSignatureStatuses`."""
    word = slots.commitment(landed.slot)
    return {
        "slot": landed.slot,
        "confirmations": None if word == "finalized" else min(slots.now - landed.slot, FINAL_SLOTS - 1),
        "err": landed.error,
        "status": status(landed.error),
        "confirmationStatus": word,
    }


def history_row(landed: Landed, slots: Slots) -> dict[str, Any]:
    """One entry of `getSignaturesForAddress`."""
    return {
        "signature": landed.signature,
        "slot": landed.slot,
        "err": landed.error,
        "memo": landed.memos(),
        "blockTime": landed.block_time,
        "confirmationStatus": slots.commitment(landed.slot),
    }


def returned_data(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.returned is None:
        return None
    program, data = outcome.returned
    return {"programId": str(program), "data": [base64.b64encode(data).decode(), "base64"]}


def inner_instructions(keys: list[str], outcome: Outcome, is_parsed: bool) -> list[dict[str, Any]]:
    """What the instructions called, by the index of the caller."""
    shown = []
    for index, group in enumerate(outcome.inner):
        if group:
            calls = [_instruction(keys, item, height, is_parsed) for item, height in group]
            shown.append({"index": index, "instructions": calls})
    return shown


def _meta(landed: Landed, is_parsed: bool) -> dict[str, Any]:
    outcome = landed.outcome
    keys = [str(key) for key in landed.keys]
    meta = {
        "err": landed.error,
        "status": status(landed.error),
        "fee": landed.fee,
        "preBalances": landed.pre,
        "postBalances": landed.post,
        "innerInstructions": inner_instructions(keys, outcome, is_parsed),
        "logMessages": outcome.logs,
        "preTokenBalances": _token_balances(landed.pre_tokens),
        "postTokenBalances": _token_balances(landed.post_tokens),
        "rewards": [],
        "computeUnitsConsumed": outcome.units,
    }
    if not is_parsed:
        meta["loadedAddresses"] = {"writable": list(map(str, landed.writable)), "readonly": list(map(str, landed.readonly))}
    if (returned := returned_data(outcome)) is not None:
        meta["returnData"] = returned
    return meta


def _token_balances(rows: Iterable[TokenBalance]) -> list[dict[str, Any]]:
    return [
        {
            "accountIndex": row.index,
            "mint": str(row.mint),
            "owner": str(row.owner),
            "programId": str(row.program),
            "uiTokenAmount": amount(row.amount, row.decimals),
        }
        for row in rows
    ]


def _instruction(keys: list[str], item: CompiledInstruction, height: int | None, is_parsed: bool) -> dict[str, Any]:
    if is_parsed:
        accounts = [keys[index] for index in bytes(item.accounts)]
        return instructions.show(Pubkey.from_string(keys[item.program_id_index]), accounts, bytes(item.data), height)
    return {
        "programIdIndex": item.program_id_index,
        "accounts": list(bytes(item.accounts)),
        "data": base58.encode(bytes(item.data)),
        "stackHeight": height,
    }


def _lookups(landed: Landed) -> dict[str, Any]:
    message = landed.transaction.message
    if not isinstance(message, MessageV0):
        return {}
    lookups = [
        {
            "accountKey": str(lookup.account_key),
            "writableIndexes": list(bytes(lookup.writable_indexes)),
            "readonlyIndexes": list(bytes(lookup.readonly_indexes)),
        }
        for lookup in message.address_table_lookups
    ]
    return {"addressTableLookups": lookups}


def _message(landed: Landed) -> dict[str, Any]:
    message = landed.transaction.message
    header, keys = message.header, [str(key) for key in landed.keys]
    return {
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [_instruction(keys, item, None, False) for item in message.instructions],
    } | _lookups(landed)


def _parsed_message(landed: Landed) -> dict[str, Any]:
    message = landed.transaction.message
    signers, own = message.header.num_required_signatures, len(message.account_keys)
    keys = [str(key) for key in landed.keys]
    return {
        "accountKeys": [
            {
                "pubkey": key,
                "signer": index < signers,
                "writable": is_writable(message, index) if index < own else index < own + len(landed.writable),
                "source": "transaction" if index < own else "lookupTable",
            }
            for index, key in enumerate(keys)
        ],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [_instruction(keys, item, None, True) for item in message.instructions],
    } | _lookups(landed)
