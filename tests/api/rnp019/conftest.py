"""Wallets that sign in by RNP-019's routes."""

import base64
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair
from solders.signature import Signature

from app.values import clock
from tests.factories.ton_wallets import TonWallet

WALLET = "/rnp/v1/wallet"


class Door:
    """What a client does to sign in, through the public API only."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def challenge(self, chain: str, address: str) -> dict[str, Any]:
        answer = self.client.post(f"{WALLET}/challenge", json={"chain": chain, "address": address})
        assert answer.status_code == 200, answer.json
        return answer.json  # type: ignore[no-any-return]

    def solana_body(self, keypair: Keypair, challenge: dict[str, Any] | None = None) -> dict[str, Any]:
        address = str(keypair.pubkey())
        message = (challenge or self.challenge("solana", address))["message"]
        return {"chain": "solana", "address": address, "signature": str(keypair.sign_message(message.encode()))}

    def ton_body(self, wallet: TonWallet, challenge: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        """`changes` overwrite members of the proof after it was signed."""
        found = challenge or self.challenge("ton", wallet.address)
        proof = wallet.prove(found["payload"], found["domain"], int(clock.now().timestamp()), **changes)
        return {"chain": "ton", "address": wallet.address, "public_key": wallet.public_key, "proof": proof}

    def login(self, body: dict[str, Any], **options: Any) -> Any:
        return self.client.post(f"{WALLET}/login", json=body, **options)

    def enter(self, body: dict[str, Any]) -> dict[str, Any]:
        """Log in; returns the answer."""
        answer = self.login(body)
        assert answer.status_code == 200, answer.json
        return answer.json  # type: ignore[no-any-return]

    def link(self, token: str, body: dict[str, Any]) -> Any:
        return self.client.post(f"{WALLET}/link", json=body, headers=bearer(token))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def refused(answer: Any, status: int, code: str) -> str:
    """The message of a refusal in this dialect's envelope."""
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code), answer.json
    assert set(answer.json) == {"error"} and set(answer.json["error"]) == {"code", "message", "details"}
    return str(answer.json["error"]["message"])


def as_base64(signature: str) -> str:
    return base64.b64encode(bytes(Signature.from_string(signature))).decode()


@pytest.fixture
def door(client: FlaskClient) -> Door:
    return Door(client)
