"""What a request is told that gunicorn cannot read: no path is known then, so it is in the envelope that the root has, with the
safety headers of everything else."""

import json
from typing import Any

from gunicorn import util

from app.api.headers import SAFETY

CODES = {413: "TOO_LARGE", 414: "TOO_LARGE", 431: "TOO_LARGE", 500: "INTERNAL"}
MESSAGE_LIMIT_CHARS = 200


def install() -> None:
    """Take the place of gunicorn's page, in this process."""
    util.write_error = write


def write(sock: Any, status: int, reason: str, message: str) -> None:
    """The whole answer, after which the connection is closed."""
    text = (message or reason)[:MESSAGE_LIMIT_CHARS]
    body = json.dumps({"success": False, "error": text, "code": CODES.get(status, "INVALID_INPUT"), "detail": text})
    headers = {"Connection": "close", "Content-Type": "application/json", "Content-Length": str(len(body)), **SAFETY}
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", body]
    util.write_nonblock(sock, "\r\n".join(lines).encode("latin-1", "replace"))
