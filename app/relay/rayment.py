"""Rayment's /ws: providers hear of their jobs, and whoever knows a job of it, whichever process they are connected to.

In:  {type: auth, providerId, timestamp, signature} · {type: subscribe, jobId} · {type: heartbeat}
Out: authenticated · subscribed · heartbeat · error · job:new job:paid job:started job:progress job:completed job:failed
"""

import time
import uuid
from typing import Any

import structlog
from flask import Flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server

from app.core import accounts, jobs, nodes, pushes, queries
from app.db import Session
from app.errors import InvalidInput, LightyardError, NotFound, Unauthenticated
from app.models.jobs import Job
from app.models.nodes import Provider
from app.observability import metrics
from app.relay.rooms import Listener, Rooms
from app.relay.sockets import Mailbox
from app.values import clock, signatures
from app.values.clock import to_milliseconds
from app.values.json_text import read_json
from app.values.states import JobState, PaymentState
from app.wiring import Hub

log = structlog.get_logger()
MESSAGE_LIMIT_BYTES = 65_536
SIGN_IN_SECONDS = 30
REFUSALS_LIMIT, SUBSCRIPTIONS_LIMIT = 5, 100
POLICY_VIOLATION = 1008
WORDS = {JobState.COMPLETED: "job:completed", JobState.FAILED: "job:failed", JobState.CANCELLED: "job:failed"}


def install(app: Flask, hub: Hub) -> None:
    """Serve /ws."""
    seconds = hub.settings.heartbeat_seconds
    app.config.setdefault("SOCK_SERVER_OPTIONS", {"ping_interval": seconds, "max_message_size": MESSAGE_LIMIT_BYTES})
    rooms = Rooms(hub.cache, lambda event: describe(hub, event), lambda room, listener: resync(hub, room, listener))
    sock = Sock(app)

    @sock.route("/ws")
    def connect(socket: Server) -> None:
        with metrics.SOCKETS.track_inprogress():
            Connection(socket, hub, rooms).serve()


class Connection:
    """One socket from its handshake to its end."""

    def __init__(self, socket: Server, hub: Hub, rooms: Rooms) -> None:
        self._socket, self._hub, self._rooms = socket, hub, rooms
        self._mailbox = Mailbox(socket, hub.settings.heartbeat_seconds)
        self._joined: set[str] = set()
        self._provider_id: uuid.UUID | None = None
        self._refusals = 0
        self._seen_at = 0.0

    def serve(self) -> None:
        """Answer until the other side goes, breaks the rules too often, or never says who it is."""
        try:
            while self._refusals < REFUSALS_LIMIT:
                text = self._socket.receive(timeout=None if self._joined else SIGN_IN_SECONDS)
                if text is None:
                    self._mailbox.close(POLICY_VIOLATION, "sign in or subscribe first")
                    return
                self._hear(text)
            self._mailbox.close(POLICY_VIOLATION, "too many refused messages")
        except ConnectionClosed as closed:
            log.debug("relay.left", reason=closed.reason)
        finally:
            for room in self._joined:
                self._rooms.leave(room, self._mailbox)
            self._mailbox.close()

    def _hear(self, text: str | bytes) -> None:
        try:
            message = read_json(text)
            if not isinstance(message, dict):
                raise InvalidInput("a message must be a JSON object")
            kind = message.get("type")
            if kind == "auth":
                self._sign_in(message)
            elif kind == "subscribe":
                self._subscribe(message)
            elif kind == "heartbeat":
                self._beat()
            else:
                raise InvalidInput("type must be auth, subscribe or heartbeat")
        except LightyardError as error:
            self._refusals += 1
            said = error.message.replace("the body", "the message")
            self._mailbox.put({"type": "error", "error": said, "code": error.code})

    def _sign_in(self, message: dict[str, Any]) -> None:
        with self._hub.database.unit_of_work() as session:
            provider = authenticate(session, self._hub, message)
            if self._provider_id not in (None, provider.id):
                raise InvalidInput("this socket is signed in as another provider; open a new one")
            provider.last_seen_at = clock.now()
            self._provider_id = provider.id
        room = provider_room(provider.id)
        self._join(room)
        self._mailbox.put({"type": "authenticated"})
        resync(self._hub, room, self._mailbox)

    def _subscribe(self, message: dict[str, Any]) -> None:
        if len(self._joined) >= SUBSCRIPTIONS_LIMIT:
            raise InvalidInput(f"a socket may watch {SUBSCRIPTIONS_LIMIT} jobs; open another")
        try:
            job_id = uuid.UUID(str(message.get("jobId")))
        except ValueError:
            raise NotFound("Job not found") from None
        with self._hub.database.unit_of_work() as session:
            _own_job(session, job_id)
        self._join(job_room(job_id))
        self._mailbox.put({"type": "subscribed", "jobId": str(job_id)})
        resync(self._hub, job_room(job_id), self._mailbox)

    def _join(self, room: str) -> None:
        if room not in self._joined:
            self._joined.add(room)
            self._rooms.join(room, self._mailbox)

    def _beat(self) -> None:
        """A heartbeat is answered, and noted as the provider's sign of life."""
        self._mailbox.put({"type": "heartbeat"})
        if self._provider_id is not None and time.monotonic() - self._seen_at > self._hub.settings.heartbeat_seconds / 2:
            self._seen_at = time.monotonic()
            with self._hub.database.unit_of_work() as session:
                nodes.get_provider(session, self._provider_id).last_seen_at = clock.now()


def authenticate(session: Session, hub: Hub, message: dict[str, Any]) -> Provider:
    """The provider that signed `ws:{providerId}:{timestamp}`, both as they were sent; each such message is good once."""
    timestamp, window = message.get("timestamp"), hub.settings.signature_window_seconds
    text = str(timestamp)
    if isinstance(timestamp, bool) or not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise InvalidInput("timestamp must be milliseconds since 1970")
    if abs(time.time() * 1000 - int(text)) > window * 1000:
        raise Unauthenticated(f"the timestamp is more than {window} s off; sign a new message")
    try:
        provider = nodes.get_provider(session, uuid.UUID(str(message.get("providerId"))))
    except ValueError:
        raise NotFound("Provider not found") from None
    signed = f"ws:{message['providerId']}:{text}"
    if not signatures.verify(provider.wallet, signed, str(message.get("signature"))):
        raise Unauthenticated("Invalid signature")
    accounts.use_once(session, signed, window)
    return provider


def provider_room(provider_id: object) -> str:
    return f"provider:{provider_id}"


def job_room(job_id: object) -> str:
    return f"job:{job_id}"


def _own_job(session: Session, job_id: uuid.UUID) -> Job:
    job = jobs.get(session, job_id)
    if job.dialect != "rayment":
        raise NotFound("Job not found")
    return job


def describe(hub: Hub, event: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """An event as the job's provider and those who watch the job are told it: {room: message}."""
    job_id = uuid.UUID(event["job_id"])
    with hub.database.unit_of_work() as session:
        job = jobs.get(session, job_id)
        if job.dialect != "rayment":
            return {}
        public = {**_facts(session, job, event["type"]), **_transaction(event.get("tx_signature"))}
        private = public | _order(hub, session, job) if event["type"] in ("job:new", "job:paid") else public
    return {provider_room(job.provider_id): private, job_room(job_id): public}


def _facts(session: Session, job: Job, kind: str) -> dict[str, Any]:
    body: dict[str, Any] = {"type": kind, "jobId": str(job.id)}
    if kind == "job:progress":
        progress = queries.progress_of(session, job.id)
        body |= {"progress": round(progress, 3), "framesCompleted": job.units_completed, "framesTotal": job.units_total}
    if kind == "job:completed":
        body["resultUrl"] = f"/render/{job.id}/result"
    if kind == "job:failed":
        body["error"] = job.error_message or job.state
    return body


def _transaction(signature: str | None) -> dict[str, Any]:
    return {} if signature is None else {"txSignature": signature}


def _order(hub: Hub, session: Session, job: Job) -> dict[str, Any]:
    """What a provider needs to decide on a job, and, once it is paid, to render it."""
    scene = jobs.scene_of(session, job)
    order = {
        "fileName": scene.file_name,
        "fileSize": scene.size_bytes,
        "fileHash": scene.sha256,
        "settings": pushes.wire_settings(job),
        "expiresAt": to_milliseconds(job.expires_at),
    }
    if job.payment_state == PaymentState.CONFIRMED:
        seconds = hub.settings.file_url_seconds
        order["fileUrl"] = hub.store.signed_url("GET", scene.storage_key, seconds, now=clock.now(), file_name=scene.file_name)
    return order


def resync(hub: Hub, room: str, listener: Listener) -> None:
    """The present state of a room, in the words of the events that lead to it: nothing that was missed is lost."""
    kind, _, found = room.partition(":")
    with hub.database.unit_of_work() as session:
        if kind == "provider":
            open_jobs = queries.paid_jobs_of(session, uuid.UUID(found))
            told = [_facts(session, job, "job:paid") | _transaction(tx) | _order(hub, session, job) for job, tx in open_jobs]
        else:
            job = jobs.get(session, uuid.UUID(found))
            told = [_facts(session, job, word) for word in _reached(job)]
    for message in told:
        listener.put(message)


def _reached(job: Job) -> list[str]:
    """The last event of a job that a watcher must know of."""
    if job.state in WORDS:
        return [WORDS[JobState(job.state)]]
    if job.started_at is not None:
        return ["job:progress"]
    return ["job:paid"] if job.payment_state == PaymentState.CONFIRMED else ["job:new"]
