"""Nodes without a GPU: they speak gpu_node/PROTOCOL.md for real, and hand in a small real picture instead of rendering."""

import base64
import hashlib
import io
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from nacl.signing import SigningKey
from PIL import Image

from app.adapters.storage.local import LocalStore
from app.values import clock
from bench.stack import BenchError, BenchStack
from bench.wire import Connection, target_of

WIDTH, HEIGHT = 8, 6
API = "/node/v1"


def tiny_picture() -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 30)).save(picture, "PNG")
    return picture.getvalue()


class Counter:
    """The units that are still to be done, for all nodes together."""

    def __init__(self, units: int) -> None:
        self._units, self._lock = units, threading.Lock()

    def take(self, units: int) -> None:
        with self._lock:
            self._units -= units

    def is_zero(self) -> bool:
        with self._lock:
            return self._units <= 0


@dataclass
class Work:
    """What a run of fake nodes did: units accepted by the hub, and the seconds from the first claim to the last answer."""

    units: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.units / self.seconds


class FakeNode:
    """One node, one thread, one kept connection. With a `store` it uploads there, as to an object store; else through the hub."""

    def __init__(self, stack: BenchStack, name: str, provider_id: str, store: LocalStore | None) -> None:
        self.connection, self._store = Connection(stack.api_url), store
        self._picture = tiny_picture()
        self._sha256 = hashlib.sha256(self._picture).hexdigest()
        self._headers = ""
        key = SigningKey.generate()
        body = {
            "name": name,
            "public_key": base64.b64encode(bytes(key.verify_key)).decode(),
            "capabilities": ["render"],
            "provider_id": provider_id,
        }
        made = self._post("/nodes", body, f"Authorization: Bearer {stack.endpoints['operator_api_key']}\r\n")
        self._headers = f"Authorization: Bearer {made['token']}\r\n"
        signature = base64.b64encode(key.sign(made["challenge"].encode()).signature).decode()
        self._post("/proof", {"signature": signature})

    def _post(self, path: str, body: dict[str, Any], headers: str | None = None) -> dict[str, Any]:
        status, answer = self.connection.post_json(API + path, body, self._headers if headers is None else headers)
        if status not in (200, 201):
            raise BenchError(f"{path} answered {status}: {answer}")
        return dict(answer)

    def heartbeat(self) -> None:
        self._post("/heartbeat", {"current_load": 0.1})

    def claim(self, limit: int) -> list[dict[str, Any]]:
        return list(self._post("/claims", {"capabilities": ["render"], "limit": limit})["attempts"])

    def deliver(self, attempts: list[dict[str, Any]]) -> int:
        """Upload a picture for each attempt, announce them all in one call, and return how many were accepted."""
        for attempt in attempts:
            self._upload(target_of(attempt["upload"]["url"]))
        results = [
            {
                "attempt_id": attempt["attempt_id"],
                "fence": attempt["fence"],
                "sha256": self._sha256,
                "size_bytes": len(self._picture),
                "seconds": 0.01,
            }
            for attempt in attempts
        ]
        return sum(item["accepted"] for item in self._post("/results", {"results": results})["results"])

    def _upload(self, target: str) -> None:
        if self._store is not None:
            path, _, query = target.partition("?")
            claims = self._store.verify("PUT", unquote(path.removeprefix("/files/")), dict(parse_qsl(query)), clock.now())
            self._store.receive(io.BytesIO(self._picture), claims)
            return
        status, answer = self.connection.request("PUT", target, self._picture)
        if status != 201:
            raise BenchError(f"an upload was answered {status}: {answer[:200]!r}")

    def work(self, batch: int, left: "Counter") -> None:
        """Claim, upload and announce until all units are done. What others hold for a moment is asked for again."""
        while not left.is_zero():
            attempts = self.claim(batch)
            if attempts:
                left.take(self.deliver(attempts))
            else:
                time.sleep(0.002)  # the last units are with other nodes, or a sweep holds them: no doorbell tells


class FakeFarm:
    """Several fake nodes that work side by side."""

    def __init__(self, stack: BenchStack, size: int, uploads_through_hub: bool = False) -> None:
        settings = stack.settings()
        store = LocalStore(Path(urlsplit(settings.storage).path), settings.secret_key, settings.base_url)
        _, answer = Connection(stack.api_url).request("GET", "/providers")
        provider_id = json.loads(answer)["data"]["providers"][0]["id"]
        beside = None if uploads_through_hub else store
        self.nodes = [FakeNode(stack, f"fake-{number}", provider_id, beside) for number in range(size)]

    def work(self, batch: int, units: int) -> Work:
        """Let all nodes work until `units` are accepted. Raises what a node met."""
        for node in self.nodes:
            node.heartbeat()
        left = Counter(units)
        errors: list[Exception] = []
        ready = threading.Barrier(len(self.nodes) + 1)

        def run(node: FakeNode) -> None:
            ready.wait()
            try:
                node.work(batch, left)
            except Exception as error:
                errors.append(error)
                left.take(units)  # the others need not wait for what this one will not do

        threads = [threading.Thread(target=run, args=(node,)) for node in self.nodes]
        for thread in threads:
            thread.start()
        ready.wait()
        started = time.perf_counter()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - started
        if errors:
            raise errors[0]
        return Work(units, seconds)
