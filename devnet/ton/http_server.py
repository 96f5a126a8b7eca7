"""The HTTP door: GET and POST /api/v2/<method>, POST /api/v2/jsonRPC, /dev/<method>, /health."""

import json
import sys
import threading
import traceback
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from devnet.http_door import Door, DoorServer
from devnet.ton.chain import Chain
from devnet.ton.dev import DevMethods
from devnet.ton.errors import ApiError, invalid
from devnet.ton.faults import Faults, refusal
from devnet.ton.methods import Methods

API, DEV = "/api/v2/", "/dev/"
ENDLESS_CHUNK = b" " * 65_536


class Handler(Door):
    server: "HttpServer"

    def do_GET(self) -> None:
        self._take({})

    def do_POST(self) -> None:
        body = self.read_body(size_unless_told="0")
        if body is None:
            return
        try:
            params = json.loads(body) if body else {}
        except ValueError:
            params = None
        if isinstance(params, dict):
            self._take(params)
        else:
            self._reply(invalid("the body must be a JSON object"))

    def _take(self, params: dict[str, Any]) -> None:
        parts = urlsplit(self.path)
        params = dict(parse_qsl(parts.query)) | params
        if parts.path == "/health":
            self.write(200, b"ok", "text/plain")
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
            self.write(200, b'{"ok": true, "result": [{"@type": "raw.trans')
        elif kind == "html":
            self.write(200, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
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

    def refuse(self, code: int, message: str) -> None:
        self._reply(ApiError(code, message))

    def _reply(self, found: Any, frame: dict[str, Any] | None = None) -> None:
        """toncenter's envelope; a refusal's code is the HTTP status too."""
        if isinstance(found, ApiError):
            self.write(found.code, json.dumps({"ok": False, "error": found.message, "code": found.code}).encode())
        else:
            self.write(200, json.dumps({"ok": True, "result": found} | (frame or {})).encode())


class HttpServer(DoorServer):
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
