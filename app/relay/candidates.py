"""A socket whose token is unproven while another one of its node is proven: it may be anybody who knows the public key.

It is handed nothing, changes nothing and closes no other socket. Once it has answered its token's challenge it is the node's
newest, with a fence of its own, as if it had come with a proven token.
"""

import json
import time
import uuid

from app.core import nodes, relays
from app.errors import LightyardError
from app.observability import metrics
from app.relay import reading
from app.relay.lines import UNPROVEN, Goodbye, Line
from app.relay.node_session import NodeSession, Parts, give_back_unheard

REFUSALS_LIMIT = 3


class Candidate:
    """Waits for one message, a heartbeat with `challenge_signature`, for as long as a silent node would be waited for."""

    __slots__ = ("parts", "token_id", "line", "_until", "_refusals")

    def __init__(self, parts: Parts, token_id: uuid.UUID) -> None:
        self.parts, self.token_id = parts, token_id
        self.line: Line | None = None
        self._until = time.monotonic() + parts.hub.settings.relay_silence_seconds
        self._refusals = 0

    def start(self, line: Line) -> None:
        """The socket stands, and nobody is told."""
        self.line = line

    def pong(self) -> None:
        """Answering pings is no proof."""
        if time.monotonic() > self._until:
            self._say_goodbye()

    def hear(self, text: bytes) -> None:
        """The proof, or not; what comes after it is the session's to hear."""
        line = self.line
        if line is None:
            return
        try:
            session = self._prove(reading.proof(text))
        except LightyardError as error:
            self._refuse(line, error)
            return
        line.owner = session
        session.start(line)
        session.hear(text)  # a heartbeat like any other, and answered like one

    def _prove(self, signature: str) -> NodeSession:
        with self.parts.hub.database.unit_of_work() as session:
            nodes.prove(session, nodes.authenticate(session, self.token_id), signature)
            node = nodes.authenticate(session, self.token_id)
            begun = relays.begin(session, node)
        give_back_unheard(self.parts.hub, begun)
        return NodeSession(self.parts, node, begun, speaks_ours=False)

    def _refuse(self, line: Line, error: LightyardError) -> None:
        metrics.MESSAGES.labels("out", "error").inc()
        answer = {"type": "error", "code": error.code, "detail": error.message, "retryable": error.retryable}
        self.parts.exchange.send(line, json.dumps(answer))
        self._refusals += not error.retryable
        if self._refusals >= REFUSALS_LIMIT:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        if self.line is not None:
            self.parts.exchange.close(self.line, UNPROVEN)

    def closed(self, goodbye: Goodbye) -> None:
        """Nothing is left of it."""
        self.line = None  # a line and its owner refer to each other
