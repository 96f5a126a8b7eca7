"""Joining the hub: what a registration says, the proof of the key, and the enrolment that a provider's wallet signs.

An enrolment is needed once: the hub remembers whose node a key is, and later registrations carry none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from gpu_node import AGENT_NAME
from gpu_node.client import HubClient
from gpu_node.config import NodeSettings, SettingError
from gpu_node.keys import public_key_text, sign_text

SECRET_KEY_BYTES = 64


def register(client: HubClient, settings: NodeSettings, key: SigningKey, machine: dict[str, Any],
             enrolment: dict[str, Any] | None, patience_seconds: float) -> dict[str, Any]:
    """Registers and proves the key; the hub's answer, with the token, as in PROTOCOL.md section 1. Raises HubRefused, HubAway."""
    headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    body: dict[str, Any] = {
        "name": settings.name, "public_key": public_key_text(key), "capabilities": list(settings.capabilities),
        "machine": machine, "agent": AGENT_NAME, "enrolment": enrolment,
    }
    if settings.provider_id:
        body["provider_id"] = settings.provider_id
    answer = client.post("/nodes", body, headers, patience_seconds)
    # Who enrolled once brings no key later, and is told where to listen for having proven its own.
    proof = {"signature": sign_text(key, answer["challenge"]), "wants_broker": answer.get("broker") is None}
    proven = client.post("/proof", proof, {"Authorization": f"Bearer {answer['token']}"}, patience_seconds)
    return answer | {name: proven[name] for name in ("broker", "broker_retry_seconds") if name in proven}


def enrolment_message(provider_id: str, key: SigningKey, timestamp: int) -> str:
    """The text that the provider's wallet signs; `timestamp` in seconds. Raises SettingError for what is no UUID."""
    try:
        provider = uuid.UUID(provider_id)
    except ValueError:
        raise SettingError(f"{provider_id!r} is no provider id: it is a UUID, as GET /providers shows it") from None
    return f"enrol:{provider}:{hashlib.sha256(bytes(key.verify_key)).hexdigest()}:{timestamp}"


def sign_with_wallet(keypair_file: Path, message: str) -> str:
    """Base64 of the wallet's signature; the file is a Solana CLI keypair. Raises SettingError."""
    try:
        numbers = json.loads(keypair_file.read_text())
        secret = bytes(numbers)
        wallet = SigningKey(secret[:32])
        is_pair = len(secret) == SECRET_KEY_BYTES and bytes(wallet.verify_key) == secret[32:]
    except (OSError, ValueError, TypeError) as error:
        raise SettingError(f"{keypair_file} can't be read as a Solana keypair: {error}") from None
    if not is_pair:
        raise SettingError(f"{keypair_file} is no Solana keypair: it must hold 64 numbers, secret and public key")
    return base64.b64encode(wallet.sign(message.encode()).signature).decode("ascii")
