"""What the local chains' HTTP doors share: bodies of bounded size, and CORS for wallets in a browser."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BODY_BYTES_LIMIT = 1_048_576
IDLE_SECONDS = 120


class Door(BaseHTTPRequestHandler):
    """One connection. `refuse` is the chain's own envelope."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True

    def refuse(self, code: int, message: str) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no envelope for {code}: {message}")

    def read_body(self, size_unless_told: str = "") -> bytes | None:
        """The whole body; None when it was refused, or when the client went away in the middle."""
        size = self.headers.get("Content-Length") or size_unless_told
        if not (size.isascii() and size.isdecimal()):
            self._hang_up(411, "Content-Length is needed")
            return None
        if len(size) > 12 or int(size) > BODY_BYTES_LIMIT:
            self._hang_up(413, f"a body may have {BODY_BYTES_LIMIT} bytes")
            return None
        body = self.rfile.read(int(size))
        if len(body) < int(size):
            self.close_connection = True
            return None
        return body

    def _hang_up(self, code: int, message: str) -> None:
        """Say no, and hang up: what follows on the connection may be the body that was not read."""
        self.close_connection = True
        self.refuse(code, message)

    def do_OPTIONS(self) -> None:
        self.write(200, b"")

    def write(self, code: int, body: bytes, kind: str = "application/json") -> None:
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


class DoorServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no event; what a method did wrong was printed where it happened."""
