"""Wallets that sign in by RNP-019's routes."""

import base64
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair
from solders.signature import Signature

from app.core import accounts
from app.models.account_scenes import AccountScene
from app.models.jobs import Scene
from app.values import clock
from app.wiring import Hub
from tests.factories.render_market import Renders
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


REPORT = {
    "cameras": ["Camera", "Close"],
    "active_camera": "Camera",
    "frame_start": 1,
    "frame_end": 24,
    "fps": 25,
    "engine": "cycles",
    "width": 64,
    "height": 48,
    "samples": 8,
    "color_mode": "RGB",
    "color_depth": {"PNG": 8, "EXR": 32},
    "estimated_memory_bytes": 2**30,
    "warnings": ["texture.png is missing"],
}


class Agent:
    """An account with an API key, a balance and scenes that are ready, on a hub that is called through its public API."""

    def __init__(self, client: FlaskClient, hub: Hub, balance: str = "100", asset: str = "RCREDIT") -> None:
        self.client, self.renders = client, Renders(hub.database, balance, asset)
        self.account_id = self.renders.account_id
        self.head = bearer(self.key("jobs:read", "jobs:write", "credits:read", "credits:write", "scenes:read", "scenes:write"))
        self.scene_id = self.scene()

    def key(self, *scopes: str) -> str:
        with self.renders.database.unit_of_work() as session:
            return accounts.create_key(session, self.account_id, "test", list(scopes))

    def scene(self, report: dict[str, Any] | None = REPORT, **changes: Any) -> str:
        """A scene of this account's, as it is once it was looked at; `changes` are of its own row."""
        own = {"id": uuid.uuid4(), "account_id": self.account_id, "sha256": uuid.uuid4().hex * 2, "size_bytes": 1000}
        named = {"file_name": "a.blend", "storage_key": "scenes/x", "format": ".blend"}
        waits = {"state": "ready", "extension": ".blend", "expires_at": clock.now()}
        with self.renders.database.unit_of_work() as session:
            session.add(Scene(facts={}, report=report, **own, **named))
            session.add(AccountScene(**own, file_name="a.blend", **waits | changes))
            return str(own["id"])

    def post(self, path: str = "", body: dict[str, Any] | None = None, **headers: str) -> Any:
        return self.client.post(f"/rnp/v1/jobs{path}", json=body, headers={**self.head, **headers})

    def order(self, frames: str = "1-10", **members: Any) -> Any:
        """The answer to an order of this account's scene."""
        return self.post(body={"scene_id": self.scene_id, "frames": frames, **members})

    def ordered(self, frames: str = "1-10", **members: Any) -> dict[str, Any]:
        answer = self.order(frames, **members)
        assert answer.status_code == 201, answer.json
        return answer.json  # type: ignore[no-any-return]

    def get(self, path: str = "") -> Any:
        return self.client.get(f"/rnp/v1/jobs{path}", headers=self.head)

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.get(f"/{job_id}")
        assert answer.status_code == 200, answer.json
        return answer.json  # type: ignore[no-any-return]

    def patch(self, job_id: str, **body: Any) -> Any:
        return self.client.patch(f"/rnp/v1/jobs/{job_id}", json=body, headers=self.head)

    def cancel(self, job_id: str) -> Any:
        return self.client.delete(f"/rnp/v1/jobs/{job_id}", headers=self.head)


@pytest.fixture
def agent(client: FlaskClient, hub: Hub) -> Agent:
    return Agent(client, hub)


@pytest.fixture
def door(client: FlaskClient) -> Door:
    return Door(client)
