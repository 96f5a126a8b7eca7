"""What proves who calls: the key, and the wallet's signature over the whole request (version 2)."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time

from robocompute.keypairs import Keypair

VERSION = "2"


def message(method: str, target: str, timestamp: int, nonce: str, body: bytes) -> bytes:
    """The signed text. `target` is the path below the base URL with its query, byte for byte as it is sent."""
    return "\n".join([method, target, str(timestamp), nonce, hashlib.sha256(body).hexdigest()]).encode()


class Signer:
    """Makes the headers of each request. Without a keypair they are the key alone, which will do for keys that are not `rc_`."""

    def __init__(self, api_key: str, keypair: Keypair | None) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("api_key is no API key")
        self._api_key, self.keypair = api_key, keypair
        self.ahead_seconds = 0.0
        """How far the API's clock is ahead of this machine's, once that is known."""

    def set_clock(self, server_time: object) -> bool:
        """Reckon by the API's clock from now on, where a refusal has told it (Unix seconds). Whether it has."""
        if self.keypair is None or not isinstance(server_time, int):
            return False
        self.ahead_seconds = server_time - time.time()
        return True

    def headers(self, method: str, target: str, body: bytes = b"") -> dict[str, str]:
        """Fresh ones: a nonce is good once."""
        made = {"Authorization": f"Bearer {self._api_key}"}
        if self.keypair is None:
            return made
        timestamp, nonce = int(time.time() + self.ahead_seconds), secrets.token_hex(16)
        signature = self.keypair.sign(message(method, target, timestamp, nonce, body))
        return made | {
            "X-Timestamp": str(timestamp),
            "X-Nonce": nonce,
            "X-Signature-Version": VERSION,
            "X-Wallet-Signature": base64.b64encode(signature).decode(),
        }
