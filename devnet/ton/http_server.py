"""The HTTP door: GET and POST /api/v2/<method>, POST /api/v2/jsonRPC, /dev/<method>, /health."""

import json
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from devnet.ton.chain import Chain
from devnet.ton.dev import DevMethods
from devnet.ton.errors import ApiError, invalid
from devnet.ton.faults import Faults, refusal
from devnet.ton.methods import Methods

BODY_BYTES_LIMIT = 1_048_576
IDLE_SECONDS = 120
API, DEV = "/api/v2/", "/dev/"
ENDLESS_CHUNK = b" " * 65_536


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True
    server: "HttpServer"

    def do_GET(self) -> None:
        self._take({})

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length") or "0"
        if not (size.isascii() and size.isdecimal()):
            self._refuse(ApiError(411, "Content-Length is needed"))
        elif len(size) > 12 or int(size) > BODY_BYTES_LIMIT:
            self._refuse(ApiError(413, f"a body may have {BODY_BYTES_LIMIT} bytes"))
        else:
            body = self.rfile.read(int(size))
            if len(body) < int(size):  # the client went away in the middle
                self.close_connection = True
                return
            try:
                params = json.loads(body) if body else {}
            except ValueError:
                params = None
            if isinstance(params, dict):
                self._take(params)
            else:
                self._reply(invalid("the body must be a JSON object"))

    def do_OPTIONS(self) -> None:
        self._write(200, b"")

    def _take(self, params: dict[str, Any]) -> None:
        parts = urlsplit(self.path)
        params = dict(parse_qsl(parts.query)) | params
        if parts.path == "/health":
            self._write(200, b"ok", "text/plain")
        elif parts.path == f"{API}jsonRPC":
            self._json_rpc(params)
        elif parts.path.startswith(API):
            self._call(parts.path.removeprefix(API), params)
        elif parts.path.startswith(DEV):
            self._answer(self.server.dev, parts.path.removeprefix(DEV), params)
        else:
            self._reply(ApiError(404, "Not Found"))

    def _json_rpc(self, call: dict[str, Any]) -> None:
        method, params = call.get("method"), call.get("params") or {}
        if not isinstance(method, str) or not isinstance(params, dict):
            self._reply(invalid("method must be text and params an object"))
        else:
            self._call(method, params, {"id": call.get("id"), "jsonrpc": "2.0"})

    def _call(self, method: str, params: dict[str, Any], frame: dict[str, Any] | None = None) -> None:
        with self.server.chain.lock:
            kind = self.server.faults.break_of(method)
            does_first = self.server.faults.after_accepting
        if kind:
            if does_first:
                self.server.answer(self.server.api, method, params)
            self._break(kind)
        else:
            self._answer(self.server.api, method, params, frame)

    def _answer(self, table: dict[str, Any], method: str, params: dict[str, Any], frame: dict[str, Any] | None = None) -> None:
        self._reply(self.server.answer(table, method, params), frame)

    def _break(self, kind: str) -> None:
        if kind in ("error", "refuse"):
            self._reply(refusal(kind))
        elif kind == "garbage":
            self._write(200, b'{"ok": true, "result": [{"@type": "raw.trans')
        elif kind == "html":
            self._write(200, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
        elif kind == "endless":
            self._write_endless()
        else:
            if kind == "silence":
                self.server.ended.wait(self.server.faults.silence_seconds)
            self.close_connection = True

    def _write_endless(self) -> None:
        """Until the client hangs up."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"ok": true, "result": ')
        while not self.server.ended.is_set():
            self.wfile.write(ENDLESS_CHUNK)

    def _refuse(self, error: ApiError) -> None:
        """Say no, and hang up: what follows on the connection may be the body that was not read."""
        self.close_connection = True
        self._reply(error)

    def _reply(self, found: Any, frame: dict[str, Any] | None = None) -> None:
        """toncenter's envelope; a refusal's code is the HTTP status too."""
        if isinstance(found, ApiError):
            self._write(found.code, json.dumps({"ok": False, "error": found.message, "code": found.code}).encode())
        else:
            self._write(200, json.dumps({"ok": True, "result": found} | (frame or {})).encode())

    def _write(self, code: int, body: bytes, kind: str = "application/json") -> None:
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

    def __init__(self, address: tuple[str, int], chain: Chain) -> None:
        self.chain, self.faults, self.ended = chain, Faults(), threading.Event()
        self.api, self.dev = Methods(chain, self.faults).table(), DevMethods(chain, self.faults).table()
        super().__init__(address, Handler)

    def answer(self, table: dict[str, Any], method: str, params: dict[str, Any]) -> Any:
        """What the method gives, or the ApiError that it ends with."""
        handler = table.get(method)
        if handler is None:
            return ApiError(422, "Unknown method")
        try:
            with self.chain.lock:
                return handler(params)
        except ApiError as refusal:
            return refusal
        except Exception as error:  # noqa: BLE001  a bug of this server must not look like an answer
            traceback.print_exc(file=sys.stderr)
            return ApiError(503, f"{type(error).__name__}: {error}")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no event; what a method did wrong was printed where it happened."""
