"""How a request becomes a socket of an exchange."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from app.errors import InvalidInput


class Upgraded(Response):
    """What a view returns whose connection is not the web server's any more: gunicorn writes nothing and lets it go."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        raise StopIteration


def shake_hands(headers: Mapping[str, str] | None = None) -> bytes:
    """The answer to the request's handshake, for a socket without a subprotocol, with these headers beside; 400 for what is
    none. It is ours to write: the web server writes nothing, nor do those who dress other answers."""
    answer = ServerProtocol().accept(Request(request.path, Headers(list(request.headers.items()))))
    if answer.status_code != 101:
        raise InvalidInput("this is no websocket handshake: " + answer.body.decode(errors="replace").strip()[:200])
    for name, value in (headers or {}).items():
        answer.headers[name] = value
    return answer.serialize()
