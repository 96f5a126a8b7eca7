"""A STAND-IN for a model's server: it answers OpenAI's chat/completions with canned text, and misbehaves when told to.

No model runs here; what is real is the HTTP between a node and such a server.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ModelServer:
    """`behaviour` decides the next answers: fine, busy (503), refuse (400), garbage, empty, endless, drip, silent, redirect."""

    def __init__(self) -> None:
        self.behaviour = "fine"
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.let_go = threading.Event()
        self.asked = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.requests.append({"path": self.path, **body})
                owner.headers.append(dict(self.headers))
                owner.asked.set()
                try:
                    getattr(self, owner.behaviour)(body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def _send(self, status: int, data: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def fine(self, body: dict[str, Any]) -> None:
                said = "You said: " + body["messages"][-1]["content"]
                choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
                self._send(200, json.dumps({"object": "chat.completion", "model": body["model"], "choices": [choice]}).encode())

            def busy(self, _body: dict[str, Any]) -> None:
                self._send(503, b"the model is loading")

            def refuse(self, _body: dict[str, Any]) -> None:
                self._send(400, b'{"error":{"message":"max_tokens is too large"}}')

            def garbage(self, _body: dict[str, Any]) -> None:
                self._send(200, b"<html>hello</html>")

            def empty(self, _body: dict[str, Any]) -> None:
                self._send(200, b'{"choices":[]}')

            def redirect(self, _body: dict[str, Any]) -> None:
                self._send(307, b"", Location="http://127.0.0.1:1/")

            def endless(self, _body: dict[str, Any]) -> None:
                self._begin_chunks()
                while True:
                    self._chunk(b"x" * 65536)

            def drip(self, _body: dict[str, Any]) -> None:
                self._begin_chunks()
                while not owner.let_go.wait(0.05):
                    self._chunk(b" ")

            def silent(self, _body: dict[str, Any]) -> None:
                owner.let_go.wait(60)
                self.close_connection = True

            def _begin_chunks(self) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
