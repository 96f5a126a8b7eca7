"""A real websocket server whose conversations a test writes down."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

Talk = Callable[["Visit"], None]


class Visit:
    """One socket: what its client asked for first, and how it is told things."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        assert socket.request is not None
        self.path, self.headers = socket.request.path, socket.request.headers
        self.asked: dict[str, Any] = json.loads(socket.recv())

    def tell(self, *updates: dict[str, Any]) -> None:
        for update in updates:
            self._socket.send(json.dumps(update))

    def close(self, code: int, reason: str = "") -> None:
        self._socket.close(code, reason)

    def break_off(self) -> None:
        """As when a cable is pulled: no goodbye."""
        self._socket.socket.shutdown(2)


class Board:
    """`talks` are held one after the other; an int refuses the handshake with that status. `visits` are those that came;
    `details` and `extra` (headers) go into refusals."""

    def __init__(self) -> None:
        self.url, self.talks, self.visits = "", list[Talk | int](), list[Visit]()
        self.details, self.extra = dict[str, Any](), dict[str, str]()

    def begin(self, _socket: ServerConnection, _request: Request) -> Response | None:
        if isinstance(self.talks[0], int):
            status = HTTPStatus(self.talks.pop(0))  # type: ignore[arg-type]
            code = {404: "TASK_NOT_FOUND", 401: "WALLET_SIGNATURE_INVALID", 429: "RATE_LIMIT_EXCEEDED"}.get(status, "UNAVAILABLE")
            details = {"task_id": "t"} | self.details
            body = json.dumps({"error": {"code": code, "message": status.phrase, "details": details}}).encode()
            return Response(status, status.phrase, Headers({"Content-Length": str(len(body)), **self.extra}), body)
        return None

    def hold(self, socket: ServerConnection) -> None:
        talk = self.talks.pop(0)
        assert callable(talk)
        visit = Visit(socket)
        self.visits.append(visit)
        talk(visit)


@contextmanager
def board() -> Iterator[Board]:
    found = Board()
    with serve(found.hold, "127.0.0.1", 0, process_request=found.begin) as server:
        found.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}/api/v1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
