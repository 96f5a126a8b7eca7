"""The HTTP door: POST JSON-RPC, GET /health, and CORS for wallets in a browser."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from devnet.rpc.dispatch import Dispatcher

BODY_BYTES_LIMIT = 1_048_576
IDLE_SECONDS = 120


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    server: "HttpServer"

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length") or ""
        if not (size.isascii() and size.isdecimal()):
            self._refuse(411, "Content-Length is needed")
        elif len(size) > 12 or int(size) > BODY_BYTES_LIMIT:
            self._refuse(413, f"a body may have {BODY_BYTES_LIMIT} bytes")
        else:
            body = self.rfile.read(int(size))
            if len(body) < int(size):  # the client went away in the middle
                self.close_connection = True
                return
            self._reply(200, (self.server.dispatcher.answer(body) or "").encode())

    def do_GET(self) -> None:
        if self.path == "/health":
            self._reply(200, b"ok", "text/plain")
        else:
            self._refuse(405, "POST JSON-RPC here; GET /health says ok")

    def do_OPTIONS(self) -> None:
        self._reply(200, b"")

    def _refuse(self, code: int, message: str) -> None:
        """Say no, and hang up: what follows on the connection may be the body that was not read."""
        self.close_connection = True
        body = {"jsonrpc": "2.0", "error": {"code": -32600, "message": message}, "id": None}
        self._reply(code, json.dumps(body).encode())

    def _reply(self, code: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Methods", "POST, GET, OPTIONS")
        self.send_header("Access-Control-Allow-Headers", self.headers.get("Access-Control-Request-Headers") or "*")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Requests are not logged."""


class HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        super().__init__(address, Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no event; what a method did wrong was printed where it happened."""
