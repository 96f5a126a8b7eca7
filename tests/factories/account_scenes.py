"""An agent that brings scenes along, and a node of the operator's that looks at them, through the public API only."""

import base64
import hashlib
import io
import uuid
from typing import Any
from urllib.parse import urlsplit

from flask.testing import FlaskClient
from nacl.signing import SigningKey

from app.core import accounts
from app.wiring import Hub

SCENES = "/rnp/v1/scenes"
REPORT: dict[str, Any] = {
    "cameras": ["Camera", "Top"], "active_camera": "Camera", "frame_start": 1, "frame_end": 24, "fps": 24.0, "engine": "cycles",
    "width": 64, "height": 48, "samples": 16, "output_format": "PNG", "missing_files": ["//oak.png"], "libraries": [],
    "scripts": ["run.py"], "drivers": 0, "output_nodes": 0, "blender_version": "4.5.3", "objects": 3,
    "estimated_memory_bytes": 448490400, "warnings": ["missing file: //oak.png"],
}  # fmt: skip


def triangle(number: int = 0) -> bytes:
    """A sound .stl, another one for each number."""
    return number.to_bytes(80, "little") + (1).to_bytes(4, "little") + b"\0" * 50


class Agent:
    """An account with nothing but a wallet, and a key for its scenes."""

    def __init__(self, client: FlaskClient, hub: Hub) -> None:
        self.client = client
        with hub.database.unit_of_work() as session:
            self.id = accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
            key = accounts.create_key(session, self.id, "test", ["scenes:read", "scenes:write"])
        self.headers = {"Authorization": f"Bearer {key}"}

    def send(self, data: bytes, name: str = "part.stl") -> Any:
        return self.client.post(SCENES, data={"file": (io.BytesIO(data), name)}, headers=self.headers)

    def announce(self, data: bytes, name: str = "part.stl", **changes: Any) -> Any:
        body = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), "name": name, **changes}
        return self.client.post(SCENES, json=body, headers=self.headers)

    def get(self, scene: Any) -> Any:
        return self.client.get(f"{SCENES}/{scene['id']}", headers=self.headers)

    def put(self, scene: Any, data: bytes) -> Any:
        return self.client.put(path_of(scene), data=data)

    def patch(self, scene: Any, offset: int, data: Any) -> Any:
        return self.client.patch(path_of(scene), data=data, headers={"Upload-Offset": str(offset)})

    def offset(self, scene: Any) -> int:
        return int(self.client.head(path_of(scene)).headers["Upload-Offset"])


def path_of(scene: Any) -> str:
    """The address that a scene's bytes are sent to, below the hub's."""
    parts = urlsplit(scene["upload_url"])
    return f"{parts.path}?{parts.query}"


class LookingNode:
    """A node that the operator trusts, by gpu_node/PROTOCOL.md; it reports what it is told to."""

    def __init__(self, client: FlaskClient, hub: Hub) -> None:
        self.client, key = client, SigningKey.generate()
        with hub.database.unit_of_work() as session:
            secret = accounts.ensure_operator(session)
        body = {"name": "n", "public_key": base64.b64encode(bytes(key.verify_key)).decode(), "capabilities": ["render"]}
        made = client.post("/node/v1/nodes", json=body, headers={"Authorization": f"Bearer {secret}"})
        self.headers = {"Authorization": f"Bearer {made.json['token']}"}
        self.post("proof", signature=base64.b64encode(key.sign(made.json["challenge"].encode()).signature).decode())
        assert self.post("heartbeat").json["status"] == "HEALTHY"

    def post(self, verb: str, **body: Any) -> Any:
        return self.client.post(f"/node/v1/{verb}", json=body, headers=self.headers)

    def claim(self, limit: int = 1) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """(attempts, jobs) of a claim; all of them are inspections here."""
        answer = self.post("claims", capabilities=["render"], limit=limit).json
        assert {item["kind"] for item in answer["attempts"]} <= {"inspection"}
        return answer["attempts"], answer["jobs"]

    def look(self, report: dict[str, Any] | None = None) -> bytes:
        """Claim one inspection and report on it; returns the scene's bytes as the claim's address gives them."""
        (attempt,), jobs = self.claim()
        parts = urlsplit(jobs[attempt["job_id"]]["inputs"][0]["url"])
        item = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "seconds": 0.1, "report": report or REPORT}
        answer = self.post("results", results=[item])
        assert answer.json["results"][0]["accepted"] is True, answer.json
        return bytes(self.client.get(f"{parts.path}?{parts.query}").data)

    def fail(self, code: str) -> str:
        """Claim one inspection and fail at it; returns what becomes of the unit."""
        (attempt,), _ = self.claim()
        item = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "code": code, "message": "broken block"}
        return str(self.post("failures", failures=[item]).json["failures"][0]["unit_state"])
