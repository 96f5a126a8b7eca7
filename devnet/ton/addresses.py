"""Addresses in and out, in the forms that toncenter takes and gives."""

import base64
import re
from typing import Any

from pytoniq_core import Address

from devnet.ton.errors import ApiError

RAW = re.compile(r"-?[0-9]{1,3}:[0-9a-fA-F]{64}")
FRIENDLY = re.compile(r"[A-Za-z0-9_/+-]{48}")
INCORRECT = 416  # what toncenter answers for an address that is none


def read(text: object) -> Address:
    """ApiError for what is no address."""
    if isinstance(text, str) and (RAW.fullmatch(text) or FRIENDLY.fullmatch(text)):
        try:
            address = Address(text.replace("+", "-").replace("/", "_") if ":" not in text else text)
            if address.wc in (0, -1):
                return address
        except Exception:  # noqa: BLE001  the library has many ways to say no
            pass
    raise ApiError(INCORRECT, "Incorrect address")


def friendly(address: Address | None) -> str:
    return str(address.to_str(is_bounceable=True)) if isinstance(address, Address) else ""


def forms(text: str) -> dict[str, Any]:
    """Every way to write an address (`detectAddress`)."""
    address = read(text)
    return {
        "raw_form": address.to_str(False),
        "bounceable": _both(address, True),
        "non_bounceable": _both(address, False),
        "given_type": _given_type(text),
        "test_only": _flags(text) & 0x80 != 0,
    }


def _both(address: Address, is_bounceable: bool) -> dict[str, str]:
    written = str(address.to_str(is_bounceable=is_bounceable))
    return {"b64": written.replace("-", "+").replace("_", "/"), "b64url": written}


def _flags(text: str) -> int:
    return 0 if ":" in text else base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_"))[0]


def _given_type(text: str) -> str:
    if ":" in text:
        return "raw_form"
    return "friendly_bounceable" if _flags(text) & 0x7F == 0x11 else "friendly_non_bounceable"
