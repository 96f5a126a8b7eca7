"""A small strict hub that speaks gpu_node/PROTOCOL.md, for tests of the node alone.

It keeps everything in memory, checks every field that the protocol names, and can be made to go away and come back on
the same port.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

NODE_FIELDS = {"name", "public_key", "capabilities", "machine", "agent", "enrolment"}
CLAIM_FIELDS = {"capabilities", "limit", "hint", "job_id", "free"}
RESULT_FIELDS = {"attempt_id", "fence", "sha256", "size_bytes", "seconds", "device", "fell_back", "peak_memory_bytes",
                 "warnings"}
RUN_FIELDS = {"attempt_id", "fence", "sha256", "size_bytes", "seconds", "content_type"}
MACHINE_FIELDS = {"hostname", "addresses", "cpu_count", "memory_bytes", "platform", "blender_version", "engines", "formats",
                  "sandbox", "devices", "fell_back", "gpus", "container_engine"}
SETTINGS = {"width": 64, "height": 48, "samples": 1, "engine": "cycles", "output_format": "PNG", "camera": None,
            "use_persistent_data": False}
TASK = {"docker_image": "localhost/tiny", "command": [], "environment": {}, "has_network": False, "cpu_cores": 0.5, "ram_gb": 0.1,
        "storage_gb": 0.05, "gpu_count": 0, "gpu_memory_gb": 0, "timeout_seconds": 60}
LIMITS = {"max_seconds": 120, "max_memory_bytes": 4 << 30, "max_output_bytes": 1 << 28, "max_pixels": 1 << 24}


@dataclass
class Unit:
    unit_id: str
    job_id: str
    kind: str
    frame: int | None
    state: str = "queued"
    attempt_id: str | None = None
    fence: int = 0
    lease_until: float = 0.0
    node: str | None = None
    result: dict[str, Any] | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    tile: dict[str, int] | None = None


class Refusal(Exception):
    def __init__(self, status: int, code: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.details = status, code, details or {}


class FakeHub:
    """`with FakeHub() as hub:` serves at `hub.url`."""

    def __init__(self, lease_seconds: float = 30.0, broker_url: str | None = None) -> None:
        self.lease_seconds = lease_seconds
        self.broker_url = broker_url
        self.queues = {"render": "render"}
        self.lock = threading.Condition()
        self.units: list[Unit] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.films: dict[str, list[dict[str, Any]]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.violations: list[str] = []
        self.claim_sizes: list[int] = []
        self.registrations = 0
        self.babbling: dict[str, bytes] = {}
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> FakeHub:
        self.come_back()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()

    def come_back(self) -> None:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self._answer(lambda body: hub.post(self.path, json.loads(body), self.headers.get("Authorization", "")))

            def do_PUT(self) -> None:
                self._answer(lambda body: hub.put(self.path, body))

            def do_GET(self) -> None:
                data = hub.files.get(self.path)
                self._send(200 if data is not None else 404, data or b"{}")

            def _answer(self, respond: Any) -> None:
                try:
                    body = self._body()
                    said = hub.babbling.get(self.path.rsplit("/", 1)[1])
                    if said is not None:
                        return self._send(200, said)
                    status, answer = respond(body)
                except Refusal as refusal:
                    status = refusal.status
                    answer = {"error": {"code": refusal.code, "message": refusal.code, "details": refusal.details}}
                return self._send(status, json.dumps(answer).encode())

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def _send(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                return

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def go_away(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def add_job(self, scene: Path, frames: list[int] | None, name: str = "scene.blend", settings: dict[str, Any] | None = None,
                limits: dict[str, Any] | None = None, size_bytes: int | None = None) -> str:
        """A job of these frames, or one inspection when `frames` is None. Returns its id."""
        job_id, data = str(uuid.uuid4()), scene.read_bytes()
        path = f"/files/scene/{job_id}"
        self.files[path] = data
        self.jobs[job_id] = {
            "job_id": job_id, "kind": "inspection" if frames is None else "render",
            "settings": {**SETTINGS, **(settings or {})}, "limits": {**LIMITS, **(limits or {})},
            "inputs": [{"name": name, "format": Path(name).suffix, "sha256": hashlib.sha256(data).hexdigest(),
                        "size_bytes": size_bytes or len(data), "url": self.url + path}],
        }
        with self.lock:
            for frame in [None] if frames is None else frames:
                kind = "inspection" if frames is None else "frame"
                self.units.append(Unit(str(uuid.uuid4()), job_id, kind, frame))
        return job_id

    def add_tiles(self, scene: Path, frame: int, columns: int, rows: int, settings: dict[str, Any] | None = None) -> str:
        """A job of one frame in tiles. Returns its id."""
        job_id = self.add_job(scene, [], settings=settings)
        with self.lock:
            for place in range(columns * rows):
                tile = {"column": place % columns, "row": place // columns, "columns": columns, "rows": rows}
                self.units.append(Unit(str(uuid.uuid4()), job_id, "tile", frame, tile=tile))
        return job_id

    def add_film(self, frames: list[bytes], settings: dict[str, Any]) -> str:
        """A job whose frames are there, and are to be joined. Returns its id."""
        job_id = str(uuid.uuid4())
        told = {**SETTINGS, **settings}
        self.jobs[job_id] = {"job_id": job_id, "kind": "render", "settings": told, "limits": LIMITS, "inputs": []}
        self.films[job_id] = []
        for number, data in enumerate(frames, 1):
            path = f"/files/frame/{job_id}/{number}"
            self.files[path] = data
            sha256 = hashlib.sha256(data).hexdigest()
            self.films[job_id].append({"frame": number, "sha256": sha256, "size_bytes": len(data), "url": self.url + path})
        with self.lock:
            self.units.append(Unit(str(uuid.uuid4()), job_id, "join", None))
        return job_id

    def _inputs(self, body: dict[str, Any], node: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Two at a time, so that whoever asks once has not asked enough."""
        unit = self._live(body)
        if unit is None:
            raise Refusal(409, "ATTEMPT_NOT_LIVE")
        left = [item for item in self.films[unit.job_id] if body["after"] is None or item["frame"] > body["after"]]
        return 200, {"inputs": left[:2], "next": left[1]["frame"] if len(left) > 2 else None}

    def add_run(self, kind: str, payload: bytes | None = None, ref: str = "s3://bucket/key", sha256: str | None = None,
                limits: dict[str, Any] | None = None) -> str:
        """A job of one run. Returns its id."""
        job_id = str(uuid.uuid4())
        path = f"/files/payload/{job_id}"
        told: dict[str, Any] = {"ref": ref, "url": None, "size_bytes": None, "sha256": None}
        if payload is not None:
            self.files[path] = payload
            told |= {"url": self.url + path, "size_bytes": len(payload), "sha256": sha256 or hashlib.sha256(payload).hexdigest()}
        self.jobs[job_id] = {"job_id": job_id, "kind": kind, "settings": {}, "inputs": [], "payload": told,
                             "limits": {**LIMITS, **(limits or {})}}
        with self.lock:
            self.units.append(Unit(str(uuid.uuid4()), job_id, "run", None))
        return job_id

    def add_task(self, **settings: Any) -> str:
        """A compute task: a job of one container. Returns its id."""
        job_id = str(uuid.uuid4())
        self.jobs[job_id] = {"job_id": job_id, "kind": "task", "settings": {**TASK, **settings}, "inputs": [], "limits": LIMITS}
        with self.lock:
            self.units.append(Unit(str(uuid.uuid4()), job_id, "container", None))
        return job_id

    def of(self, job_id: str) -> list[Unit]:
        return [unit for unit in self.units if unit.job_id == job_id]

    def wait(self, condition: Any, seconds: float = 60.0) -> None:
        """Until `condition()` holds; the hub's lock is held while it is asked. Fails the test otherwise."""
        with self.lock:
            held = self.lock.wait_for(condition, seconds)
        assert held, f"the hub waited {seconds} s in vain; units: {[(u.frame, u.state, u.failures) for u in self.units]}"
        assert not self.violations, self.violations

    def cancel(self, job_id: str) -> None:
        with self.lock:
            for unit in self.of(job_id):
                unit.state, unit.attempt_id = "cancelled", None

    def post(self, path: str, body: dict[str, Any], authorization: str) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.calls.append((path, body))
            try:
                if path == "/node/v1/nodes":
                    return self._register(body)
                node = self.tokens.get(authorization.removeprefix("Bearer "))
                if node is None:
                    raise Refusal(401, "UNAUTHORIZED")
                verb = path.removeprefix("/node/v1/")
                return getattr(self, f"_{verb}")(body, node)
            finally:
                self.lock.notify_all()

    def put(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.files[path] = body
            self.lock.notify_all()
        return 201, {}

    def _demand(self, given: dict[str, Any], fields: set[str], where: str) -> None:
        missing = fields - set(given)
        if missing:
            self.violations.append(f"{where} lacks {sorted(missing)}")

    def _register(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._demand(body, NODE_FIELDS, "registration")
        self._demand(body["machine"], MACHINE_FIELDS, "machine")
        self.registrations += 1
        token, challenge = uuid.uuid4().hex, uuid.uuid4().hex * 2
        self.tokens[token] = {"key": body["public_key"], "challenge": challenge, "proven": False, "name": body["name"]}
        return 201, {"node_id": hashlib.md5(body["public_key"].encode()).hexdigest(), "status": "REGISTERED",
                     "challenge": challenge, "token": token, "expires_at": _iso(86400), "heartbeat_seconds": 1,
                     "queues": self.queues, "broker": {"url": self.broker_url} if self.broker_url else None}

    def _proof(self, body: dict[str, Any], node: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            key = VerifyKey(base64.b64decode(node["key"]))
            key.verify(node["challenge"].encode(), base64.b64decode(body["signature"]))
        except BadSignatureError:
            raise Refusal(401, "BAD_PROOF") from None
        node["proven"] = True
        return 200, {"node_id": "n", "status": "HEALTHY"}

    def _heartbeat(self, body: dict[str, Any], node: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._demand(body, {"current_load", "draining", "machine", "attempts"}, "heartbeat")
        live = {unit.attempt_id for unit in self.units if unit.state == "assigned"}
        return 200, {"node_id": "n", "status": "HEALTHY", "acknowledged": True,
                     "dead_attempts": [each for each in body["attempts"] if each not in live]}

    def _claims(self, body: dict[str, Any], node: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._demand(body, CLAIM_FIELDS, "claim")
        if not node["proven"]:
            raise Refusal(403, "NODE_UNPROVEN")
        now = time.monotonic()
        free = [unit for unit in self.units
                if unit.state == "queued" or (unit.state == "assigned" and unit.lease_until < now)]
        free.sort(key=lambda unit: unit.job_id != body["job_id"])
        chosen = [unit for unit in free if unit.job_id == free[0].job_id][: body["limit"]]
        for unit in chosen:
            unit.state, unit.fence, unit.attempt_id = "assigned", unit.fence + 1, str(uuid.uuid4())
            unit.lease_until, unit.node = now + self.lease_seconds, node["name"]
        self.claim_sizes.append(len(chosen))
        return 200, {"jobs": {unit.job_id: self.jobs[unit.job_id] for unit in chosen},
                     "attempts": [self._attempt(unit) for unit in chosen]}

    def _attempt(self, unit: Unit) -> dict[str, Any]:
        upload = {"method": "PUT", "url": f"{self.url}/files/result/{unit.attempt_id}", "headers": {},
                  "expires_at": _iso(3600)}
        return {"attempt_id": unit.attempt_id, "fence": unit.fence, "unit_id": unit.unit_id, "job_id": unit.job_id,
                "kind": unit.kind, "frame": unit.frame, "lease_seconds": self.lease_seconds,
                "lease_until": _iso(self.lease_seconds), "upload": None if unit.kind == "inspection" else upload,
                **({"tile": unit.tile} if unit.tile else {})}

    def _live(self, item: dict[str, Any]) -> Unit | None:
        return next((unit for unit in self.units if unit.state == "assigned"
                     and (unit.attempt_id, unit.fence) == (item["attempt_id"], item["fence"])), None)

    def _progress(self, body: dict[str, Any], node: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answers = []
        for item in body["reports"]:
            self._demand(item, {"attempt_id", "fence", "progress", "seconds", "message"}, "progress")
            unit = self._live(item)
            if unit is not None:
                unit.lease_until = time.monotonic() + self.lease_seconds
            answers.append({"attempt_id": item["attempt_id"], "live": unit is not None,
                            "lease_until": _iso(self.lease_seconds) if unit else None})
        return 200, {"reports": answers}

    def _logs(self, body: dict[str, Any], node: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._demand(body, {"attempt_id", "fence", "lines"}, "logs")
        unit = self._live(body)
        if unit is None:
            return 200, {"attempt_id": body["attempt_id"], "live": False, "next": 1}
        for line in body["lines"]:
            self._demand(line, {"number", "timestamp", "level", "message"}, "line")
            if not unit.lines or line["number"] > unit.lines[-1]["number"]:
                unit.lines.append(line)
        unit.metrics += [body["metrics"]] if body.get("metrics") else []
        return 200, {"attempt_id": body["attempt_id"], "live": True, "next": unit.lines[-1]["number"] + 1 if unit.lines else 1}

    def _releases(self, body: dict[str, Any], node: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        released = 0
        for item in body["attempts"]:
            unit = self._live(item)
            if unit is not None:
                unit.state, unit.attempt_id, released = "queued", None, released + 1
        return 200, {"released": released}

    def _results(self, body: dict[str, Any], node: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answers = [self._result(item) for item in body["results"]]
        if not any(answer["accepted"] for answer in answers):
            raise Refusal(409, "ATTEMPT_NOT_LIVE", {"results": answers})
        return 200, {"results": answers}

    def _result(self, item: dict[str, Any]) -> dict[str, Any]:
        done = next((unit for unit in self.units if unit.result and unit.attempt_id == item["attempt_id"]), None)
        if done is not None:
            return {"attempt_id": item["attempt_id"], "accepted": True, "unit_state": "completed"}
        unit = self._live(item)
        if unit is None:
            return _refused(item, "ATTEMPT_NOT_LIVE", False)
        if unit.kind != "inspection":
            is_rendered = self.jobs[unit.job_id]["kind"] == "render" and unit.kind in ("frame", "tile")
            self._demand(item, RESULT_FIELDS if is_rendered else RUN_FIELDS, "result")
            data = self.files.get(f"/files/result/{item['attempt_id']}")
            if data is None:
                return _refused(item, "RESULT_MISSING", True)
            if hashlib.sha256(data).hexdigest() != item["sha256"] or len(data) != item["size_bytes"]:
                return _refused(item, "RESULT_HASH_MISMATCH", True)
        unit.state, unit.result = "completed", item
        return {"attempt_id": item["attempt_id"], "accepted": True, "unit_state": "completed"}

    def _failures(self, body: dict[str, Any], node: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answers = []
        for item in body["failures"]:
            self._demand(item, {"attempt_id", "fence", "code", "message", "log_tail"}, "failure")
            unit = self._live(item)
            if unit is not None:
                unit.state = "failed"
                unit.failures.append(item)
            answers.append({"attempt_id": item["attempt_id"], "accepted": unit is not None, "unit_state": "failed"})
        return 200, {"failures": answers}


def _refused(item: dict[str, Any], code: str, retryable: bool) -> dict[str, Any]:
    return {"attempt_id": item["attempt_id"], "accepted": False,
            "error": {"code": code, "message": code, "retryable": retryable}}


def _iso(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
