"""Requests signed by a wallet as RoboCompute's SDK signs them: written anew from the documents, so that the hub is not its own
judge."""

import base64
import hashlib
import secrets

from solders.keypair import Keypair

from app.values import clock

BASE = "/api/v1"


def now_seconds() -> int:
    return int(clock.now().timestamp())


def sign(keypair: Keypair, message: str) -> str:
    return base64.b64encode(bytes(keypair.sign_message(message.encode()))).decode()


def version_1(keypair: Keypair, key: str, method: str, path: str, timestamp: int | None = None) -> dict[str, str]:
    """Headers for a request; `path` whole, as it is called."""
    when = str(now_seconds() if timestamp is None else timestamp)
    below = path.partition("?")[0].removeprefix(BASE)
    signature = sign(keypair, f"{method}{below}{when}")
    return {"Authorization": f"Bearer {key}", "X-Timestamp": when, "X-Wallet-Signature": signature}


def version_2(
    keypair: Keypair, key: str, method: str, path: str, body: bytes = b"", nonce: str | None = None, is_whole: bool = False
) -> dict[str, str]:
    """The same in version 2; `is_whole` signs the path as it is called, else below /api/v1."""
    when, once = str(now_seconds()), nonce or secrets.token_hex(16)
    lines = (method, path if is_whole else path.removeprefix(BASE), when, once, hashlib.sha256(body).hexdigest())
    return {
        "Authorization": f"Bearer {key}",
        "X-Timestamp": when,
        "X-Signature-Version": "2",
        "X-Nonce": once,
        "X-Wallet-Signature": sign(keypair, "\n".join(lines)),
    }
