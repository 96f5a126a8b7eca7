"""Signed addresses of files that the hub keeps itself: one method, one key, a size, perhaps a hash, and
an end."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from app.adapters.storage.port import QueryArguments, check_key
from app.errors import Forbidden

_PURPOSE = b"lightyard file urls v1"
_ARGUMENTS = {
    "method": "method",
    "expires": "expires",
    "max": "max_bytes",
    "size": "size_bytes",
    "sha256": "sha256",
    "type": "content_type",
    "name": "file_name",
}
_TEXT_LIMIT_CHARS = 1024


@dataclass(frozen=True, slots=True)
class Claims:
    """What a signed address allows. `expires` in seconds since 1970."""

    method: str
    key: str
    expires: int
    max_bytes: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    content_type: str | None = None
    file_name: str | None = None


class UrlSigner:
    """Signs and checks with HMAC-SHA256, under a key made from the hub's secret for this purpose alone; what an older secret
    signed is good to its end."""

    def __init__(self, secret_key: str, base_url: str, previous_keys: Sequence[str] = ()) -> None:
        self._key, *self._previous = (hmac.digest(key.encode(), _PURPOSE, "sha256") for key in (secret_key, *previous_keys))
        self._base_url = base_url.rstrip("/")

    def sign(self, claims: Claims) -> str:
        values = {name: getattr(claims, field) for name, field in _ARGUMENTS.items()}
        arguments = {name: value for name, value in values.items() if value is not None}
        query = urlencode({**arguments, "signature": _signature(self._key, claims)})
        return f"{self._base_url}/files/{check_key(claims.key)}?{query}"

    def verify(self, method: str, key: str, query: QueryArguments, now: datetime) -> Claims:
        """The claims of an address; Forbidden with URL_SIGNATURE_INVALID, URL_EXPIRED or URL_METHOD_MISMATCH.

        HEAD is allowed wherever GET is. The signature is checked first, so that nothing else is said about
        forged addresses.
        """
        claims = _read_claims(key, query)
        if claims is None or not self._is_signed(claims, query.get("signature", "")):
            raise Forbidden(
                "The address of this file was altered or is not ours. Ask for a new one.",
                code="URL_SIGNATURE_INVALID",
            )
        if now.timestamp() >= claims.expires:
            raise Forbidden("The address of this file has expired. Ask for a new one.", code="URL_EXPIRED")
        if method != claims.method and not (method == "HEAD" and claims.method == "GET"):
            raise Forbidden(
                f"This address is for {claims.method} only. Ask for one for {method[:10]}.",
                code="URL_METHOD_MISMATCH",
            )
        return claims

    def _is_signed(self, claims: Claims, signature: str) -> bool:
        keys = (self._key, *self._previous)
        return any(hmac.compare_digest(signature.encode(), _signature(key, claims).encode()) for key in keys)


def _signature(key: bytes, claims: Claims) -> str:
    """Over a JSON list, so that no value can spill into its neighbour."""
    text = json.dumps([getattr(claims, name) for name in Claims.__slots__], separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _read_claims(key: str, query: QueryArguments) -> Claims | None:
    """The claims as written in the address, before anything is believed; None if they can't have been
    signed here."""
    texts = {field: query.get(name) for name, field in _ARGUMENTS.items()}
    numbers = {name: _whole(texts.pop(name)) for name in ("expires", "max_bytes", "size_bytes")}
    expires = numbers["expires"]
    if (
        expires is None
        or texts["method"] not in ("GET", "PUT")
        or any(len(text or "") > _TEXT_LIMIT_CHARS for text in texts.values())
    ):
        return None
    if any(query.get(name) is not None and numbers[f"{name}_bytes"] is None for name in ("max", "size")):
        return None
    return Claims(
        key=key,
        expires=expires,
        max_bytes=numbers["max_bytes"],
        size_bytes=numbers["size_bytes"],
        method=str(texts["method"]),
        sha256=texts["sha256"],
        content_type=texts["content_type"],
        file_name=texts["file_name"],
    )


def _whole(text: str | None) -> int | None:
    """Only the spelling that was signed: no sign, no spaces, no leading zeros, no foreign digits."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    return int(text) if str(int(text)) == text else None
