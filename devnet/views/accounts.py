"""Accounts as JSON: base58, base64, base64+zstd, and parsed for token accounts and mints."""

import base64
from decimal import Decimal
from typing import Any

import zstandard
from solders.account import Account
from solders.pubkey import Pubkey

from devnet import base58
from devnet.accounts import Accounts
from devnet.errors import InvalidParams, RpcError
from devnet.tokens import PROGRAM_NAMES, Holding, Mint, read_holding, read_mint

ENCODINGS = {"base58", "base64", "base64+zstd", "jsonParsed"}
BASE58_BYTES_LIMIT = 128


def amount(minor: int, decimals: int) -> dict[str, Any]:
    """A `UiTokenAmount`: the string of minor units is the truth, the float is for show."""
    shown = Decimal(minor).scaleb(-decimals)
    text = f"{shown:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return {"amount": str(minor), "decimals": decimals, "uiAmount": float(shown), "uiAmountString": text}


def show(
    accounts: Accounts, account: Account | None, encoding: str, commitment: str, part: tuple[int, int] | None = None
) -> dict[str, Any] | None:
    """`part` is (offset, length) of the data that was asked for; parsed accounts are shown whole."""
    if account is None:
        return None
    return {
        "data": _data(accounts, account, encoding, commitment, part),
        "executable": account.executable,
        "lamports": account.lamports,
        "owner": str(account.owner),
        "rentEpoch": account.rent_epoch,
        "space": len(account.data),
    }


def _data(accounts: Accounts, account: Account, encoding: str, commitment: str, part: tuple[int, int] | None) -> Any:
    if encoding == "jsonParsed" and (parsed := _parsed(accounts, account, commitment)) is not None:
        program = PROGRAM_NAMES[account.owner]
        return {"program": program, "parsed": parsed, "space": len(account.data)}
    data = account.data if part is None else account.data[part[0] : part[0] + part[1]]
    if encoding in ("base58", "binary"):
        if len(data) > BASE58_BYTES_LIMIT:
            raise RpcError(-32600, "Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding.")
        return base58.encode(data) if encoding == "binary" else [base58.encode(data), "base58"]
    if encoding == "base64+zstd":
        return [base64.b64encode(zstandard.compress(data)).decode(), encoding]
    return [base64.b64encode(data).decode(), "base64"]


def _parsed(accounts: Accounts, account: Account, commitment: str) -> dict[str, Any] | None:
    if (mint := read_mint(account)) is not None:
        return {"type": "mint", "info": _mint(mint)}
    if (holding := read_holding(account)) is None:
        return None
    mint = read_mint(accounts.at(holding.mint, commitment))
    return {"type": "account", "info": _holding(holding, mint.decimals if mint else 9)}


def _mint(mint: Mint) -> dict[str, Any]:
    return {
        "decimals": mint.decimals,
        "freezeAuthority": _key(mint.freeze_authority),
        "isInitialized": mint.is_initialized,
        "mintAuthority": _key(mint.authority),
        "supply": str(mint.supply),
    }


def _holding(holding: Holding, decimals: int) -> dict[str, Any]:
    info = {
        "isNative": holding.rent_reserve is not None,
        "mint": str(holding.mint),
        "owner": str(holding.owner),
        "state": holding.state,
        "tokenAmount": amount(holding.amount, decimals),
    }
    if holding.delegate is not None:
        info |= {"delegate": str(holding.delegate), "delegatedAmount": amount(holding.delegated_amount, decimals)}
    if holding.rent_reserve is not None:
        info["rentExemptReserve"] = amount(holding.rent_reserve, decimals)
    if holding.close_authority is not None:
        info["closeAuthority"] = str(holding.close_authority)
    return info


def _key(key: Pubkey | None) -> str | None:
    return None if key is None else str(key)


def check_encoding(encoding: str) -> str:
    if encoding not in ENCODINGS:
        raise InvalidParams(f"unknown variant `{encoding}`, expected one of {', '.join(sorted(ENCODINGS))}")
    return encoding
