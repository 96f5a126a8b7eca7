"""A registry of the tests' own, as far as pulling goes: real images that podman saved, over the registry's protocol (a fake: it
knows no tokens and takes no uploads)."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """`images`: what lies in folders as `podman push dir:…` leaves it, by name. In the middle of a layer of those in `silent` it
    stops, until whoever asked has gone: then `was_left` is set."""

    def __init__(self) -> None:
        self.images: dict[str, Path] = {}
        self.port = 0
        self.asked: list[str] = []
        self.silent: set[str] = set()
        self.was_left = threading.Event()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        self.asked.append(path)
        if path == "/v2/":
            return 200, "application/json", b"{}"
        _, _, name, kind, reference = path.split("/", 4)
        folder = self.images.get(name)
        if folder is None:
            errors = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": {"name": name}}]}
            return 404, "application/json", json.dumps(errors).encode()
        if kind == "manifests":
            return 200, MANIFEST, (folder / "manifest.json").read_bytes()
        return 200, "application/octet-stream", (folder / reference.removeprefix("sha256:")).read_bytes()


@contextmanager
def running_registry() -> Iterator[Registry]:
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, kind, body = registry.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Docker-Distribution-API-Version", "registry/2.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET" and "/blobs/" in self.path and self.path.split("/")[2] in registry.silent:
                self.wfile.write(body[:len(body) // 2])
                self.rfile.read(1)  # nothing more is said on this line: it is the end of it
                self.close_connection = True
                return registry.was_left.set()
            self.wfile.write(b"" if self.command == "HEAD" else body)
            return None

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
