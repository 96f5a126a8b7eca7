"""The wallet's signature that a request with an `rc_` key must carry, in every dialect. Version 1 is RoboCompute's own and covers
method, path and time; version 2 is ours, covers query and body, too, and is good once."""

import base64
import hashlib
from dataclasses import dataclass

from flask import g, request

from app.api.context import hub
from app.core import wallet_keys
from app.core.accounts import KeyHolder
from app.db import Session
from app.errors import Unauthenticated
from app.values import clock, signatures
from app.values.signed_requests import VERSIONS, RequestText, signable

KEY_PREFIX = "rc_"
NONCE_LIMIT_CHARS, TIMESTAMP_LIMIT_CHARS, SIGNATURE_LIMIT_CHARS = 128, 12, 128


@dataclass(frozen=True, slots=True)
class SignatureHeaders:
    """What a request says of its signature; whether it holds is asked later."""

    version: int
    signature: str
    timestamp: str
    nonce: str


def read() -> SignatureHeaders:
    """The request's headers. 401 WALLET_SIGNATURE_INVALID where one is missing, malformed, or more than the window off."""
    signature, timestamp = _header("X-Wallet-Signature"), _header("X-Timestamp")
    version = _version(_header("X-Signature-Version"))
    if not signature or not timestamp:
        raise _refusal("missing", "this key also needs the wallet's signature: send X-Wallet-Signature and X-Timestamp")
    if len(signature) > SIGNATURE_LIMIT_CHARS and not hub().settings.accept_stub_signatures:
        raise _refusal("malformed", "X-Wallet-Signature is the base64 of 64 bytes")
    _assert_fresh(timestamp)
    return SignatureHeaders(version, signature, timestamp, _nonce() if version > 1 else "")


def covers_body() -> bool:
    """Whether the request says to carry a signature that its body is part of."""
    return _version(_header("X-Signature-Version")) > 1


def note_form(sha256: str) -> None:
    """The hash of the request's form, for it can be read only once."""
    g.form_sha256 = sha256


def check(session: Session, holder: KeyHolder) -> None:
    """Unless this request was checked already: its signature is of a wallet of the key's account, and version 2 of one that was
    not used before; it is used up with what the session commits. 401 WALLET_SIGNATURE_INVALID otherwise."""
    if g.get("wallet_signed_key") == holder.key_id:
        return
    said = read()
    if said.version < holder.signature_version:
        raise _refusal("outdated", f"this key has signed with version {holder.signature_version}; older signatures end with that")
    if not _is_stub(said) and not _is_signed(session, holder, said):
        raise _refusal("wrong", "X-Wallet-Signature is not of a Solana wallet of this key's account, over this request")
    if said.version > 1 and not wallet_keys.use_up(session, holder, said.nonce, hub().settings.signature_window_seconds):
        raise _refusal("replayed", "this X-Nonce was used before; sign each request with a new one")
    g.wallet_signed_key = holder.key_id


def _is_signed(session: Session, holder: KeyHolder, said: SignatureHeaders) -> bool:
    messages = signable(_text(said), said.version)
    wallets = wallet_keys.signers(session, holder.account.id)
    return any(signatures.verify(wallet, message, said.signature) for wallet in wallets for message in messages)


def _is_stub(said: SignatureHeaders) -> bool:
    """What RoboCompute's own SDK sends in a signature's place: the message itself. It proves nothing."""
    if said.version > 1 or not hub().settings.accept_stub_signatures:
        return False
    return said.signature.encode() in {base64.b64encode(message) for message in signable(_text(said), 1)}


def _text(said: SignatureHeaders) -> RequestText:
    path, query = _target()
    body = (g.get("form_sha256") or hashlib.sha256(request.get_data()).hexdigest()) if said.version > 1 else ""
    return RequestText(request.method, path, query, said.timestamp, said.nonce, body)


def _target() -> tuple[str, str]:
    """Path and query as they were sent, before anything was decoded: that is what was signed."""
    path, _, query = str(request.environ.get("RAW_URI", "")).partition("?")
    if not path.startswith("/"):  # absolute form, or a server that does not tell
        return request.path, request.query_string.decode("latin-1")
    return path, query


def _header(name: str) -> str:
    return request.headers.get(name, "").strip()


def _version(text: str) -> int:
    for version in VERSIONS:
        if text in (str(version), "" if version == 1 else None):
            return version
    raise _refusal("version", f"X-Signature-Version is one of {', '.join(map(str, VERSIONS))}")


def _assert_fresh(timestamp: str) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= TIMESTAMP_LIMIT_CHARS):
        raise _refusal("malformed", "X-Timestamp is a whole number of Unix seconds")
    window, now = hub().settings.signature_window_seconds, clock.now().timestamp()
    if abs(int(timestamp) - now) > window:
        message = f"X-Timestamp must be within {window} s of this server's clock; set yours, and sign anew"
        raise _refusal("skewed", message, server_time=int(now))


def _nonce() -> str:
    nonce = _header("X-Nonce")
    if not 0 < len(nonce) <= NONCE_LIMIT_CHARS or not (nonce.isascii() and nonce.isprintable()):
        message = f"version 2 needs X-Nonce: 1 to {NONCE_LIMIT_CHARS} printable ASCII characters, new for each request"
        raise _refusal("malformed", message)
    return nonce


def _refusal(reason: str, message: str, **details: int) -> Unauthenticated:
    return Unauthenticated(message, code="WALLET_SIGNATURE_INVALID", details={"reason": reason, **details})
