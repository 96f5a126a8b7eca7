"""The HTTP door: POST JSON-RPC, GET /health."""

import json

from devnet.http_door import Door, DoorServer
from devnet.rpc.dispatch import Dispatcher


class Handler(Door):
    server: "HttpServer"

    def do_POST(self) -> None:
        body = self.read_body()
        if body is not None:
            self.write(200, (self.server.dispatcher.answer(body) or "").encode())

    def do_GET(self) -> None:
        if self.path == "/health":
            self.write(200, b"ok", "text/plain")
        else:
            self.close_connection = True
            self.refuse(405, "POST JSON-RPC here; GET /health says ok")

    def refuse(self, code: int, message: str) -> None:
        body = {"jsonrpc": "2.0", "error": {"code": -32600, "message": message}, "id": None}
        self.write(code, json.dumps(body).encode())


class HttpServer(DoorServer):
    def __init__(self, address: tuple[str, int], dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        super().__init__(address, Handler)
