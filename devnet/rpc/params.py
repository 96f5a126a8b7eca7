"""Reads what clients send; everything wrong is InvalidParams (-32602) with a word on what is."""

import base64
import binascii
from typing import Any

from solders.pubkey import Pubkey
from solders.signature import Signature

from devnet import base58
from devnet.errors import InvalidParams, RpcError
from devnet.slots import LAG_SLOTS, Slots

U64_LIMIT = 2**64
RAW_TEXT_LIMIT = 1_683  # base58 of the largest transaction


def pubkey(value: Any) -> Pubkey:
    try:
        return Pubkey.from_string(value)
    except (ValueError, TypeError) as error:
        raise InvalidParams(f"a base58 public key of 32 bytes is needed, not {_shown(value)}") from error


def signature(value: Any) -> str:
    try:
        return str(Signature.from_string(value))
    except (ValueError, TypeError) as error:
        raise InvalidParams(f"a base58 signature of 64 bytes is needed, not {_shown(value)}") from error


def number(value: Any, name: str, limit: int = U64_LIMIT - 1, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= limit:
        raise InvalidParams(f"{name} must be a whole number from {least} to {limit}, not {_shown(value)}")
    return value


def options(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidParams(f"the options must be an object, not {_shown(value)}")
    return value


def flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidParams(f"{name} must be true or false, not {_shown(value)}")
    return bool(value)


def commitment(given: dict[str, Any], name: str = "commitment") -> str:
    """Finalized unless said otherwise."""
    value = given.get(name)
    if value is None:
        return "finalized"
    if not isinstance(value, str) or value not in LAG_SLOTS:
        raise InvalidParams(f"unknown commitment {_shown(value)}, expected one of {', '.join(LAG_SLOTS)}")
    return value


def landed_commitment(given: dict[str, Any]) -> str:
    found = commitment(given)
    if found == "processed":
        raise InvalidParams("Method does not support commitment below `confirmed`")
    return found


def check_context(given: dict[str, Any], slots: Slots) -> None:
    least = given.get("minContextSlot")
    slot = slots.at(commitment(given))
    if least is not None and slot < number(least, "minContextSlot"):
        raise RpcError(-32016, "Minimum context slot has not been reached", {"contextSlot": slot})


def text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidParams(f"{name} must be a string, not {_shown(value)}")
    return value


def items(value: Any, name: str, limit: int) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidParams(f"{name} must be a list, not {_shown(value)}")
    if len(value) > limit:
        raise InvalidParams(f"Too many inputs provided; max {limit}")
    return value


def raw(value: Any, encoding: Any) -> bytes:
    """The bytes of a transaction, sent in base58 (the old default) or base64."""
    try:
        if encoding == "base64":
            return base64.b64decode(text(value, "transaction"), validate=True)
        if encoding in (None, "base58"):
            if len(text(value, "transaction")) > RAW_TEXT_LIMIT:
                raise InvalidParams(f"base58 encoded transaction too large: {len(value)} bytes (max: {RAW_TEXT_LIMIT} bytes)")
            return base58.decode(value)
    except (ValueError, binascii.Error) as error:
        raise InvalidParams(f"the transaction cannot be decoded: {error}") from error
    raise InvalidParams(f"unsupported encoding {_shown(encoding)}. Supported encodings: base58, base64")


def _shown(value: Any) -> str:
    return repr(value)[:80]
