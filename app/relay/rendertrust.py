"""RenderTrust's relay, `WS /api/v1/relay/ws/{node_id}`: nodes behind NAT are handed work and tell of it, with no broker.

A bad token is let through the handshake and closed with 4001, as the seed has it. The connection is then taken out of the web
server's hands (`app.relay.exchange`).
"""

import uuid
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from app.core import nodes, relays
from app.core.nodes import CallingNode
from app.errors import InvalidInput, Unauthenticated
from app.relay.candidates import Candidate
from app.relay.exchange import Exchange, take_from_server
from app.relay.handshakes import Upgraded
from app.relay.lines import BAD_TOKEN, UNPROVEN, Goodbye, Limits
from app.relay.node_session import Describe, NodeSession, Parts, give_back_unheard
from app.relay.switchboard import Switchboard
from app.wiring import Hub

PATH = "/api/v1/relay/ws/<node_id>"
SUBPROTOCOL = "lightyard.relay.v1"
ReadToken = Callable[[str | None], uuid.UUID]


class Stranger:
    """Nobody's socket: it lives for its goodbye."""

    def hear(self, text: bytes) -> None:
        """Nothing a stranger says counts."""

    def pong(self) -> None:
        """Nor its signs of life."""

    def closed(self, goodbye: Goodbye) -> None:
        """And nothing is left of it."""


STRANGER = Stranger()


def install(app: Flask, hub: Hub, read_token: ReadToken, describe: Describe) -> None:
    """Serve the relay. `read_token` knows a node's token, `describe` writes claims as the node protocol does."""
    parts = Parts(hub, Exchange(_limits(hub)), Switchboard(hub), in_app(app, describe))
    app.extensions["lightyard_relay"] = parts

    @app.route(PATH, websocket=True, endpoint="rendertrust_relay")
    def connect(node_id: str) -> Response:
        protocol, greeting = _shake_hands()
        speaks_ours = protocol.subprotocol == SUBPROTOCOL
        found = _authenticate(hub, read_token, node_id, speaks_ours)
        socket = take_from_server(request.environ)
        if socket is None:
            raise InvalidInput("this server can't serve websockets; run it under gunicorn's gevent worker, without its TLS")
        if isinstance(found, Goodbye):
            parts.exchange.close(parts.exchange.attach(socket, STRANGER, greeting), found)
            return Upgraded(status=101)
        node, begun = found
        owner = NodeSession(parts, node, begun, speaks_ours) if begun is not None else Candidate(parts, node.token_id)
        owner.start(parts.exchange.attach(socket, owner, greeting))
        return Upgraded(status=101)


def _limits(hub: Hub) -> Limits:
    settings = hub.settings
    return Limits(
        ping_seconds=settings.relay_ping_seconds,
        silence_seconds=settings.relay_silence_seconds,
        message_bytes=settings.relay_message_bytes,
        messages_per_second=settings.relay_messages_per_second,
        waiting_bytes=settings.relay_waiting_bytes,
    )


def in_app(app: Flask, describe: Describe) -> Describe:
    """The relay's workers serve no request; what they write is written as in one."""

    def written(found: Any) -> dict[str, Any]:
        with app.app_context():
            return describe(found)

    return written


def _shake_hands() -> tuple[ServerProtocol, bytes]:
    """The answer to the request's handshake, or 400 for what is none."""
    protocol = ServerProtocol(subprotocols=[SUBPROTOCOL], select_subprotocol=_choose)  # type: ignore[list-item]
    answer = protocol.accept(Request(request.path, Headers(list(request.headers.items()))))
    if answer.status_code != 101:
        raise InvalidInput("this is no websocket handshake: " + answer.body.decode(errors="replace").strip()[:200])
    return protocol, answer.serialize()


def _choose(_protocol: ServerProtocol, offered: Any) -> Any:
    """Ours where it is offered; whoever offers others is served in the seed's words."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _authenticate(
    hub: Hub, read_token: ReadToken, node_id: str, speaks_ours: bool
) -> tuple[CallingNode, relays.Begun | None] | Goodbye:
    """The node that this token belongs to, its newest socket begun; else why not: the token is bad or another node's.

    Nothing is begun for a token that may be of somebody who only knows the node's public key, and would close the node's own
    socket. The seed's nodes may prove it over this one; ours do so over HTTP.
    """
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    token = sent.strip() if scheme.lower() == "bearer" else request.args.get("token")
    try:
        token_id = read_token(token)
        with hub.database.unit_of_work() as session:
            node = nodes.authenticate(session, token_id)
            if str(node.id) != node_id.lower():
                return BAD_TOKEN
            if node.is_doubtful and hub.settings.node_proof_required:
                return UNPROVEN if speaks_ours else (node, None)
            begun = relays.begin(session, node)
        give_back_unheard(hub, begun)
        return node, begun
    except Unauthenticated:
        return BAD_TOKEN
