"""One node on the relay: what it says is understood, what waits for it is handed out.

In:  job_status job_result job_ack heartbeat_ping heartbeat_pong ready   (status_update is job_status, job_assign is job_ack)
Out: job_dispatch job_ack heartbeat_pong error; to those that speak `lightyard.relay.v1` also ready_ack and dead_attempts
"""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from app.core import claims, nodes, relays
from app.core.claims import Claim
from app.core.doorbells import queue_of
from app.core.nodes import CallingNode
from app.db import Session
from app.errors import Forbidden, InvalidInput, LightyardError, Unauthenticated
from app.failpoints import failpoint
from app.observability import metrics
from app.relay import reading, reports
from app.relay.exchange import Exchange
from app.relay.lines import BAD_TOKEN, GARBAGE, SUPERSEDED, TROUBLE, Goodbye, Line
from app.relay.switchboard import Switchboard, Wake
from app.values.json_text import read_json
from app.wiring import Hub

log = structlog.get_logger()
REFUSALS_LIMIT = 10
MOST_SLOTS, MOST_AT_ONCE = 64, 64

Describe = Callable[[list[Claim]], dict[str, Any]]
"""Claims as `POST /node/v1/claims` answers them: {jobs, attempts}."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all sessions of a process share."""

    hub: Hub
    exchange: Exchange
    board: Switchboard
    describe: Describe


@dataclass(slots=True)
class Held:
    """A unit that this node was handed. Not acknowledged: it may never have arrived."""

    attempt: relays.HeldAttempt
    is_acknowledged: bool


def _queues_of(node: CallingNode) -> tuple[str, ...]:
    return tuple(dict.fromkeys(queue_of(name, node.provider_id, node.is_trusted) for name in node.capabilities))


def give_back_unheard(hub: Hub, begun: relays.Begun) -> None:
    """What may never have arrived at an older socket goes back at once; in a transaction of its own, as `relays.begin` says."""
    if begun.unheard:
        with hub.database.unit_of_work() as session:
            relays.give_back(session, begun.unheard)


class NodeSession:
    """A node's newest socket. Its messages, wakes and its end come one after the other."""

    __slots__ = (
        "parts", "line", "node_id", "token_id", "epoch", "ends_at", "queues", "slots", "speaks_ours", "is_draining",
        "may_work", "_held", "_refusals",
    )

    def __init__(
        self, parts: Parts, node: CallingNode, begun: relays.Begun, speaks_ours: bool
    ) -> None:
        self.parts, self.node_id, self.token_id, self.epoch = parts, node.id, node.token_id, begun.epoch
        self.ends_at, self.queues, self.speaks_ours = begun.expires_at.timestamp(), _queues_of(node), speaks_ours
        self.line: Line | None = None
        self.slots = 0 if speaks_ours else 1  # ours says how many it has; a node that can't say has one
        self.is_draining, self._refusals = False, 0
        self.may_work = self._is_allowed(node)
        self._held = {item.id: Held(item, True) for item in begun.held} or None

    def _is_allowed(self, node: CallingNode) -> bool:
        settings = self.parts.hub.settings
        try:
            nodes.assert_may_work(node, settings.node_proof_required, settings.open_nodes)
        except Forbidden:
            return False
        return True

    @property
    def held(self) -> Mapping[uuid.UUID, Held]:
        return self._held or {}

    @property
    def attempt_ids(self) -> Iterable[uuid.UUID]:
        return self.held

    @property
    def has_room(self) -> bool:
        return self.may_work and not self.is_draining and len(self.held) < self.slots

    def start(self, line: Line) -> None:
        """The socket stands: the node is told of work from now on, and looks for some at once."""
        self.line = line
        log.info("relay.joined", node_id=str(self.node_id), epoch=self.epoch)
        self.parts.board.join(self)
        self.parts.board.welcome(self)

    def tell(self, message: dict[str, Any]) -> bool:
        """Send a message; False when nobody is there any more."""
        if self.line is None:
            return False
        metrics.MESSAGES.labels("out", message["type"]).inc()
        return self.parts.exchange.send(self.line, json.dumps(message))

    def say_goodbye(self, goodbye: Goodbye) -> None:
        if self.line is not None:
            self.parts.exchange.close(self.line, goodbye)

    def pong(self) -> None:
        self.parts.board.sign(self)

    def wake(self, wake: Wake) -> None:
        if self.line is not None:
            self.parts.exchange.submit(self.line, lambda: self._guard({}, lambda: self._look(wake)))

    def forget_dead(self, dead: set[uuid.UUID]) -> None:
        """Some of what this node holds is not live any more."""
        if self.line is not None:
            self.parts.exchange.submit(self.line, lambda: self._forget_dead(dead))

    def hear(self, text: bytes) -> None:
        """One message of the node."""
        message: dict[str, Any] = {}
        try:
            found = read_json(text)
            if not isinstance(found, dict):
                raise InvalidInput("a message must be a JSON object", code="INVALID_JSON")
        except InvalidInput as error:
            metrics.MESSAGES.labels("in", "unreadable").inc()
            self._refuse({}, error)
            return
        message = found
        kind = message.get("type")
        act = ACTS.get(kind) if isinstance(kind, str) else None
        metrics.MESSAGES.labels("in", kind if act else "unknown").inc()
        if act is None:
            self._refuse(message, InvalidInput(f"type must be one of {', '.join(sorted(ACTS))}", code="UNKNOWN_TYPE"))
            return
        self._guard(message, lambda: act(self, message))

    def _guard(self, message: Mapping[str, Any], action: Callable[[], None]) -> None:
        try:
            action()
        except relays.Superseded:
            self.say_goodbye(SUPERSEDED)
        except Unauthenticated:
            self.say_goodbye(BAD_TOKEN)
        except LightyardError as error:
            self._refuse(message, error)
        except Exception:
            self.say_goodbye(TROUBLE)
            raise

    def _refuse(self, message: Mapping[str, Any], error: LightyardError) -> None:
        said = error.message.replace("the body", "the message")
        self.tell(reading.answer(message, "error", code=error.code, detail=said, retryable=error.retryable))
        self._refusals += isinstance(error, InvalidInput)
        if self._refusals >= REFUSALS_LIMIT:
            self.say_goodbye(GARBAGE)

    def closed(self, goodbye: Goodbye) -> None:
        """The end of the socket: what the node never acknowledged goes back at once, the rest when its lease ends."""
        self.parts.board.leave(self)
        log.info("relay.left", node_id=str(self.node_id), code=goodbye.code, reason=goodbye.word)
        lost = [held.attempt for held in self.held.values() if not held.is_acknowledged]
        self._held = self.line = None  # a line and its owner refer to each other
        with self.parts.hub.database.unit_of_work() as session:
            relays.give_back(session, lost)
            relays.end(session, self.node_id, self.epoch)

    def _look(self, wake: Wake) -> None:
        """Claim what there is room for."""
        handed = 0
        try:
            if self.has_room and not wake.is_vain and self.line is not None and self.line.is_open:
                handed = self.hand_out(self.slots - len(self.held))
                if handed == 0:
                    wake.misses += 1
                    self.parts.board.found_nothing(self)
        finally:
            self.parts.board.place(self)
        if handed:
            self.parts.board.found(wake)

    def hand_out(self, limit: int, job_id: uuid.UUID | None = None) -> int:
        """Claim for this node and send what was claimed; returns how many units."""
        settings = self.parts.hub.settings
        with self.parts.hub.database.one_by_one() as session:  # signing in only reads, and a claim is one statement
            node = relays.calling(session, self.token_id, self.epoch)
            nodes.assert_may_work(node, settings.node_proof_required, settings.open_nodes)
            if nodes.status(node, settings.node_unhealthy_seconds) != "HEALTHY":
                return 0
            ask = {"capabilities": node.capabilities, "limit": nodes.units_at_once(node, limit), "job_id": job_id}
            ask["inspects"] = self.speaks_ours
            found = claims.claim(
                session,
                node,
                ask,
                settings.lease_seconds,
                settings.node_unhealthy_seconds,
                settings.open_nodes,
                self.parts.hub.task_rules,
                settings.render_second_try_seconds,
            )
        if found:
            failpoint("claim.committed")
            self._send_out(found)
        return len(found)

    def _send_out(self, found: list[Claim]) -> None:
        described = self.parts.describe(found)
        for claim, item in zip(found, described["attempts"], strict=True):
            held = relays.HeldAttempt(
                claim.attempt_id, claim.fence, "live", claim.upload_key, claim.job.id, claim.kind, "assigned"
            )
            self._held = {**self.held, claim.attempt_id: Held(held, False)}
            message = reading.dispatch(claim, item, described["jobs"][item["job_id"]])
            if not self.speaks_ours:
                del message["work"]
            self.tell(message)

    def drop(self, attempt_id: uuid.UUID) -> None:
        """This node is done with an attempt, one way or the other, and may have another."""
        self._held = {key: held for key, held in self.held.items() if key != attempt_id} or None

    def acknowledge(self, attempt: relays.HeldAttempt) -> None:
        """The node has said that it has it (before the hub's restart perhaps)."""
        self._held = {**self.held, attempt.id: Held(attempt, True)}

    def _forget_dead(self, dead: set[uuid.UUID]) -> None:
        gone = [held.attempt for key, held in self.held.items() if key in dead]
        for attempt in gone:
            self.drop(attempt.id)
        if gone and self.speaks_ours:
            self.tell({"type": "dead_attempts", "attempts": [str(attempt.id) for attempt in gone]})
        for attempt in [] if self.speaks_ours else gone:
            detail = "this attempt is not live any more (cancelled, or its lease is lost): stop it"
            found = {"job_id": str(attempt.job_id), "attempt": str(attempt.id)}
            self.tell({"type": "error", **found, "code": "ATTEMPT_NOT_LIVE", "detail": detail})
        self.wake(Wake(""))

    def heartbeat(self, message: Mapping[str, Any]) -> None:
        """A sign of life with news of the node; answers which of the attempts it names are dead."""
        if self.line is not None:
            self.line.heard_at = time.monotonic()
        report = reading.heartbeat(message)
        is_new = "draining" in message or report["machine"] is not None or report["metadata"] is not None
        if is_new or report["signature"] is not None:
            self._note_news(report, is_new)
        else:
            self.parts.board.sign(self, report["current_load"])
        if message["type"] == "heartbeat_ping":
            dead = [str(attempt) for attempt in report["attempts"] if attempt not in self.held]
            status = {"node_id": str(self.node_id), "acknowledged": True, "dead_attempts": dead, "may_work": self.may_work}
            self.tell(reading.answer(message, "heartbeat_pong", **status))

    def _note_news(self, report: Mapping[str, Any], is_new: bool) -> None:
        with self.parts.hub.database.unit_of_work() as session:
            node = relays.calling(session, self.token_id, self.epoch)
            if report["signature"] is not None:
                self._prove(session, node, report["signature"])
                node = relays.calling(session, self.token_id, self.epoch)
            if is_new:
                draining = self.is_draining if report["draining"] is None else report["draining"]
                nodes.heartbeat(session, node, {**report, "draining": draining}, self.parts.hub.settings.node_proof_required)
                self.is_draining = draining
        self.parts.board.requeue(self, _queues_of(node))  # a proof may have brought other capabilities
        self.may_work = self._is_allowed(node)
        self.wake(Wake(""))

    def _prove(self, session: Session, node: CallingNode, signature: str) -> None:
        """A wrong signature is refused; it does not end the socket, whose token is good."""
        try:
            nodes.prove(session, node, signature)
        except Unauthenticated as error:
            raise InvalidInput(error.message, code=error.code) from None

    def ready(self, message: Mapping[str, Any]) -> None:
        """Ours: how many units the node takes when it is idle, what it holds, and how many it wants now."""
        wanted = reading.ready(message, MOST_SLOTS, MOST_AT_ONCE)
        if not self.speaks_ours:
            raise InvalidInput("`ready` is for nodes that speak the subprotocol lightyard.relay.v1")
        self.slots = wanted["slots"]
        known = self._take_stock(wanted["attempts"]) if wanted["attempts"] is not None else []
        handed = 0
        if wanted["more"] and self.may_work and not self.is_draining:
            handed = self.hand_out(wanted["more"], wanted["job_id"])
        lease_seconds = self.parts.hub.settings.lease_seconds
        facts = {"handed": handed, "dead_attempts": known, "lease_seconds": lease_seconds, "may_work": self.may_work}
        self.tell(reading.answer(message, "ready_ack", **facts))
        self.wake(Wake(""))

    def _take_stock(self, attempts: list[uuid.UUID]) -> list[str]:
        """What the node does not know of goes back at once (it was restarted); what it only believes to hold is dead."""
        forgotten = [held.attempt for key, held in self.held.items() if key not in attempts]
        if forgotten:
            with self.parts.hub.database.unit_of_work() as session:
                relays.calling(session, self.token_id, self.epoch)
                relays.give_back(session, forgotten)
            for attempt in forgotten:
                self.drop(attempt.id)
        return [str(attempt) for attempt in attempts if attempt not in self.held]

    def done_with(self, attempt_id: uuid.UUID) -> None:
        """An attempt has ended: there is room again."""
        self.drop(attempt_id)
        self.wake(Wake(""))


ACTS: dict[str, Callable[[NodeSession, Mapping[str, Any]], None]] = {
    "job_status": reports.status,
    "status_update": reports.status,
    "job_result": reports.result,
    "job_ack": reports.acknowledge,
    "job_assign": reports.acknowledge,
    "heartbeat_ping": NodeSession.heartbeat,
    "heartbeat_pong": NodeSession.heartbeat,
    "ready": NodeSession.ready,
}
