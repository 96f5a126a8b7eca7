"""A hub on real PostgreSQL, Valkey and the local chain, called through Flask's client."""

import base64
import hashlib
import io
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from nacl.signing import SigningKey
from PIL import Image

from app.config import Settings
from app.core import accounts
from app.factory import create_app
from app.wiring import Hub
from devnet.payer import Payer

ROOT = Path(__file__).parent.parent.parent
PRICING = {"pricePerFrame": 0.001, "pricePerSecond": 0.0001, "pricePerGb": 0.01, "minimumPrice": 0.005, "currency": "SOL"}
SPEC = {"supportedFormats": [".blend", ".stl"], "renderEngines": ["cycles"], "maxFileSize": 2000}
TRIANGLE = b"\0" * 80 + (1).to_bytes(4, "little") + b"\0" * 50


@pytest.fixture(scope="session")
def solana_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("devnet")
    pace = ["--slot-ms", "5", "--blockhash-blocks", "12000"]  # final at once, and block hashes still good for a minute
    command = [sys.executable, "-m", "devnet", "--port", "0", *pace, "--home", str(home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    assert ready.startswith("devnet ready http://")
    yield ready.split()[2]
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
def settings(database_url: str, redis_url: str, solana_url: str, tmp_path: Path) -> Settings:
    return Settings(
        lightyard_home=str(tmp_path),
        database_url=database_url,
        redis_url=redis_url,
        solana_rpc_url=solana_url,
        allow_private_endpoints=True,
        rate_limits=False,
        inspection_wait_seconds=0,
        port=80,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(settings)
    yield app.test_client()
    hub: Hub = app.extensions["lightyard"]
    hub.database.engine.dispose()


@pytest.fixture
def hub(client: FlaskClient) -> Hub:
    return client.application.extensions["lightyard"]  # type: ignore[no-any-return]


@pytest.fixture
def payer(solana_url: str) -> Payer:
    wallet = Payer(solana_url)
    wallet.airdrop(10**10)
    return wallet


class Market:
    """What the tests do over and over, through the public API only."""

    def __init__(self, client: FlaskClient, hub: Hub, solana_url: str) -> None:
        self.client, self.hub, self.wallet = client, hub, Payer(solana_url)
        body = {"name": "farm", "wallet": self.wallet.address, "endpoint": "http://127.0.0.1:4402", "spec": SPEC}
        signature = self.wallet.sign(f"register:{self.wallet.address}:farm")
        answer = client.post("/provider/register", json={**body, "pricing": PRICING, "signature": signature})
        assert answer.status_code == 200, answer.json
        self.provider_id = answer.json["data"]["providerId"]
        self.set_status("online")

    def set_status(self, status: str) -> None:
        signature = self.wallet.sign(f"status:{self.provider_id}:{status}")
        body = {"providerId": self.provider_id, "status": status, "signature": signature}
        assert self.client.put("/provider/status", json=body).status_code == 200

    def quote(self, payer: Payer, settings: str = '{"resolution":{"width":8,"height":6}}', file: Any = None) -> dict[str, Any]:
        form = {"file": file or (io.BytesIO(TRIANGLE), "part.stl"), "clientWallet": payer.address, "settings": settings}
        answer = self.client.post("/render", data=form)
        assert answer.status_code == 402, answer.json
        return answer.json["payment"]  # type: ignore[no-any-return]

    def pay(self, payment: dict[str, Any], signature: str) -> Any:
        return self.client.post("/render/pay", json={"jobId": payment["jobId"], "txSignature": signature})

    def job(self, payment: dict[str, Any]) -> dict[str, Any]:
        return self.client.get(f"/render/{payment['jobId']}").json["data"]  # type: ignore[no-any-return]


@pytest.fixture
def market(client: FlaskClient, hub: Hub, solana_url: str) -> Market:
    return Market(client, hub, solana_url)


class FakeNode:
    """Speaks gpu_node/PROTOCOL.md without a GPU: it paints plain pictures."""

    def __init__(
        self,
        market: Market,
        name: str = "node",
        capabilities: tuple[str, ...] = ("render",),
        machine: dict[str, Any] | None = None,
    ) -> None:
        self.client, self.key, self.capabilities = market.client, SigningKey.generate(), list(capabilities)
        with market.hub.database.unit_of_work() as session:
            secret = accounts.ensure_operator(session)
        body = {
            "name": name,
            "public_key": base64.b64encode(bytes(self.key.verify_key)).decode(),
            "capabilities": self.capabilities,
            "machine": machine or {},
            "provider_id": market.provider_id,
        }
        made = self.client.post("/node/v1/nodes", json=body, headers={"Authorization": f"Bearer {secret}"})
        assert made.status_code == 201, made.json
        self.id, self.challenge = made.json["node_id"], made.json["challenge"]
        self.headers = {"Authorization": f"Bearer {made.json['token']}"}

    def prove(self) -> Any:
        signature = base64.b64encode(self.key.sign(self.challenge.encode()).signature).decode()
        return self.post("proof", signature=signature)

    def join(self) -> "FakeNode":
        assert self.prove().status_code == 200
        assert self.post("heartbeat", current_load=0.1).json["status"] == "HEALTHY"
        return self

    def post(self, verb: str, **body: Any) -> Any:
        return self.client.post(f"/node/v1/{verb}", json=body, headers=self.headers)

    def claim(self, limit: int = 1) -> list[dict[str, Any]]:
        """Claim up to `limit` frames; inspections on the way are answered with a report that has nothing to say."""
        frames: list[dict[str, Any]] = []
        while len(frames) < limit:
            found = self.claim_anything(limit - len(frames))
            if not found:
                break
            frames += [item for item in found if item["kind"] == "frame"]
            for item in found:
                if item["kind"] == "inspection":
                    assert self.report(item, {"warnings": []}).status_code == 200
        return frames

    def claim_anything(self, limit: int = 1) -> list[dict[str, Any]]:
        answer = self.post("claims", capabilities=self.capabilities, limit=limit)
        assert answer.status_code == 200, answer.json
        return answer.json["attempts"]  # type: ignore[no-any-return]

    def report(self, attempt: dict[str, Any], report: dict[str, Any]) -> Any:
        item = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "seconds": 0.1, "report": report}
        return self.post("results", results=[item])

    def finish(self, attempt: dict[str, Any], size: tuple[int, int] = (8, 6)) -> Any:
        return self.post("results", results=[self.upload(attempt, size)])

    def upload(self, attempt: dict[str, Any], size: tuple[int, int] = (8, 6)) -> dict[str, Any]:
        """Upload a plain picture; returns what is announced of it."""
        picture = io.BytesIO()
        Image.new("RGB", size, (attempt["frame"] or 0, 0, 0)).save(picture, "PNG")
        return self.upload_bytes(attempt, picture.getvalue())

    def upload_bytes(self, attempt: dict[str, Any], data: bytes) -> dict[str, Any]:
        assert self.client.put(attempt["upload"]["url"], data=data).status_code == 201
        import_hash = hashlib.sha256(data).hexdigest()
        item = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "sha256": import_hash}
        return {**item, "size_bytes": len(data), "seconds": 1.5}


@pytest.fixture
def node(market: Market) -> FakeNode:
    return FakeNode(market).join()


UNKNOWN = str(uuid.UUID(int=1))
