"""Rayment's /ws: providers and watchers hear of jobs, whichever process they are connected to."""

import json
import queue
import threading
import time
import uuid
from typing import Any

import redis
import structlog
from flask import Flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server

from app.adapters.publisher import EVENTS_CHANNEL
from app.core import accounts, nodes, queries
from app.db import Session
from app.errors import InvalidInput, LightyardError, Unauthenticated
from app.models.nodes import Provider
from app.values import signatures
from app.wiring import Hub

log = structlog.get_logger()
QUEUE_LIMIT, MESSAGE_LIMIT_BYTES = 1000, 65_536


class Rooms:
    """The sockets of this process, by provider, fed by one subscription to the event channel."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._lock = hub, threading.Lock()
        self._rooms: dict[str, set[queue.Queue[dict[str, Any]]]] = {}
        self._thread: threading.Thread | None = None

    def join(self, provider_id: str) -> "queue.Queue[dict[str, Any]]":
        """A mailbox for one socket; the first one starts the subscription."""
        box: queue.Queue[dict[str, Any]] = queue.Queue(QUEUE_LIMIT)
        with self._lock:
            self._rooms.setdefault(provider_id, set()).add(box)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, daemon=True, name="rayment-events")
                self._thread.start()
        return box

    def leave(self, provider_id: str, box: "queue.Queue[dict[str, Any]]") -> None:
        with self._lock:
            self._rooms.get(provider_id, set()).discard(box)
            if not self._rooms.get(provider_id):
                self._rooms.pop(provider_id, None)

    def _listen(self) -> None:
        while True:
            try:
                with self._hub.cache.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(EVENTS_CHANNEL)
                    while True:
                        message = channel.get_message(timeout=30)
                        if message is not None:
                            self._deliver(json.loads(message["data"]))
            except (redis.RedisError, OSError) as error:
                log.warning("relay.events_away", error=str(error))
                time.sleep(1)  # Valkey is away: nothing tells when it is back, so ask again in a second

    def _deliver(self, event: dict[str, Any]) -> None:
        with self._hub.database.unit_of_work() as session:
            provider_id = queries.provider_of(session, uuid.UUID(event["job_id"]))
        body = {"type": event["type"], "jobId": event["job_id"]}
        if "tx_signature" in event:
            body["txSignature"] = event["tx_signature"]
        with self._lock:
            boxes = list(self._rooms.get(str(provider_id), ()))
        for box in boxes:
            try:
                box.put_nowait(body)
            except queue.Full:
                log.warning("relay.slow_reader", provider_id=str(provider_id))


def install(app: Flask, hub: Hub) -> None:
    """Serve /ws."""
    app.config.setdefault(
        "SOCK_SERVER_OPTIONS", {"ping_interval": hub.settings.heartbeat_seconds, "max_message_size": MESSAGE_LIMIT_BYTES}
    )
    rooms = Rooms(hub)
    sock = Sock(app)

    @sock.route("/ws")
    def connect(socket: Server) -> None:
        serve(socket, hub, rooms)


def serve(socket: Server, hub: Hub, rooms: Rooms) -> None:
    """One socket: sign in, then events out and heartbeats both ways until it closes."""
    provider_id: str | None = None
    box: queue.Queue[dict[str, Any]] | None = None
    beat_at = time.monotonic() + hub.settings.heartbeat_seconds
    try:
        while True:
            text = socket.receive(timeout=0.05 if box is not None else 1)
            if text is not None:
                answer, joined = _answer(hub, text)
                if joined is not None and box is None:
                    provider_id, box = joined, rooms.join(joined)
                socket.send(json.dumps(answer))
                if joined is not None:
                    _replay(socket, hub, joined)
            while box is not None and not box.empty():
                socket.send(json.dumps(box.get_nowait()))
            if time.monotonic() > beat_at:
                socket.send(json.dumps({"type": "heartbeat"}))
                beat_at = time.monotonic() + hub.settings.heartbeat_seconds
    except ConnectionClosed:
        pass
    finally:
        if box is not None and provider_id is not None:
            rooms.leave(provider_id, box)


def _answer(hub: Hub, text: str | bytes) -> tuple[dict[str, Any], str | None]:
    """What to say to a message, and the provider that it signed in as."""
    try:
        message = json.loads(text)
        if not isinstance(message, dict):
            raise InvalidInput("a message must be a JSON object")
        if message.get("type") == "heartbeat":
            return {"type": "heartbeat"}, None
        if message.get("type") != "auth":
            raise InvalidInput("send {type: auth, providerId, timestamp, signature} or {type: heartbeat}")
        with hub.database.unit_of_work() as session:
            return {"type": "authenticated"}, str(_authenticate(session, hub, message).id)
    except (ValueError, RecursionError):
        return {"type": "error", "error": "the message must be JSON"}, None
    except LightyardError as error:
        return {"type": "error", "error": error.message}, None


def _authenticate(session: Session, hub: Hub, message: dict[str, Any]) -> Provider:
    timestamp, window = message.get("timestamp"), hub.settings.signature_window_seconds
    if isinstance(timestamp, bool) or not isinstance(timestamp, int):
        raise InvalidInput("timestamp must be milliseconds since 1970")
    if abs(time.time() * 1000 - timestamp) > window * 1000:
        raise Unauthenticated(f"the timestamp is more than {window} s off; sign a new message")
    try:
        provider = nodes.get_provider(session, uuid.UUID(str(message.get("providerId"))))
    except ValueError:
        raise InvalidInput("providerId must be a UUID") from None
    signed = f"ws:{provider.id}:{timestamp}"
    if not signatures.verify(provider.wallet, signed, str(message.get("signature"))):
        raise Unauthenticated("Invalid signature")
    accounts.use_once(session, signed, window)
    return provider


def _replay(socket: Server, hub: Hub, provider_id: str) -> None:
    """Paid jobs that are still open are told again: an event that nobody heard is not lost."""
    with hub.database.unit_of_work() as session:
        waiting = queries.paid_jobs_of(session, uuid.UUID(provider_id))
    for job_id, signature in waiting:
        socket.send(json.dumps({"type": "job:paid", "jobId": str(job_id), "txSignature": signature}))
