"""The nodes that this process serves: who has room for work, who is woken when some comes, and who is still alive.

No node costs a query while it is idle. One subscription per process hears of work and of newer sockets; signs of life are noted
many in one statement; and once in a while one node of each queue looks by itself, should a doorbell have been lost.
"""

import json
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Protocol

import redis
import structlog

from app.adapters.publisher import RELAY_CHANNEL
from app.core import relays
from app.relay.lines import BAD_TOKEN, SUPERSEDED, Goodbye
from app.wiring import Hub

log = structlog.get_logger()
SIGNS_SECONDS, SIGNS_AT_ONCE = 1.0, 500
DEAD_CHECK_SECONDS, CHECKED_AT_ONCE = 5.0, 1000
MISSES_LIMIT = 3
DRY_QUEUES_LIMIT = 1000
DRY_SECONDS = 2.0  # what comes meanwhile rings, and what nobody claims is rung again after as long


class Wake:
    """One doorbell for several nodes: after a few that found nothing, the others are left in peace."""

    __slots__ = ("queue", "misses", "is_look")

    def __init__(self, queue: str, is_look: bool = False) -> None:
        self.queue, self.misses, self.is_look = queue, 0, is_look

    @property
    def is_vain(self) -> bool:
        return self.misses >= MISSES_LIMIT


class Member(Protocol):
    """A node's socket, as the switchboard knows it."""

    node_id: uuid.UUID
    epoch: int
    queues: tuple[str, ...]
    ends_at: float

    @property
    def has_room(self) -> bool: ...

    @property
    def attempt_ids(self) -> Iterable[uuid.UUID]: ...

    def wake(self, wake: Wake) -> None: ...

    def say_goodbye(self, goodbye: Goodbye) -> None: ...

    def forget_dead(self, dead: set[uuid.UUID]) -> None: ...


class Switchboard:
    """All methods return at once, but those of its own threads."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = threading.RLock()
        self._members: dict[uuid.UUID, Member] = {}
        self._idle: dict[str, dict[Member, None]] = defaultdict(dict)
        self._busy: dict[Member, None] = {}
        self._signs: dict[Member, float | None] = {}
        self._dry_until: dict[tuple[str, ...], float] = {}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def join(self, member: Member) -> None:
        """A node's newest socket; an older one here or at another process is closed."""
        with self._lock:
            self._start()
            other = self._members.get(member.node_id)
            is_newest = other is None or other.epoch < member.epoch
            if is_newest:
                self._members[member.node_id] = member
        older = other if is_newest else member
        if older is not None:
            older.say_goodbye(SUPERSEDED)
        self._tell({"type": "superseded", "node_id": str(member.node_id), "epoch": member.epoch})

    def leave(self, member: Member) -> None:
        with self._lock:
            self._take_off(member)
            self._busy.pop(member, None)
            self._signs.pop(member, None)
            if self._members.get(member.node_id) is member:
                del self._members[member.node_id]

    def place(self, member: Member) -> None:
        """Put a node where it belongs now: with those that have room, or not."""
        with self._lock:
            self._take_off(member)
            if self._members.get(member.node_id) is not member:
                return
            if any(True for _ in member.attempt_ids):
                self._busy[member] = None
            else:
                self._busy.pop(member, None)
            if member.has_room:
                for queue in member.queues:
                    self._idle[queue][member] = None

    def requeue(self, member: Member, queues: tuple[str, ...]) -> None:
        """Other queues from now on; `place` follows."""
        with self._lock:
            self._take_off(member)
            member.queues = queues

    def sign(self, member: Member, load: float | None = None) -> None:
        """A sign of life, to be noted with the next lot."""
        with self._lock:
            known = self._signs.get(member)
            self._signs[member] = known if load is None else load

    def wake(self, queue: str, count: int, is_look: bool = False) -> None:
        """So many units wait for whoever listens to this queue."""
        if not is_look:
            self._dry_until.clear()
        with self._lock:
            chosen = list(islice(self._idle.get(queue, ()), count))
            for member in chosen:
                self._take_off(member)  # until it has looked
        wake = Wake(queue, is_look)
        for member in chosen:
            member.wake(wake)

    def welcome(self, member: Member) -> None:
        """A node that has just come looks for work, unless another like it has just found none: thousands may come at once."""
        if self._dry_until.get(member.queues, 0.0) > time.monotonic():
            self.place(member)
        else:
            member.wake(Wake(""))

    def found_nothing(self, member: Member) -> None:
        if len(self._dry_until) > DRY_QUEUES_LIMIT:
            self._dry_until.clear()
        self._dry_until[member.queues] = time.monotonic() + DRY_SECONDS

    def found(self, wake: Wake) -> None:
        """Where one that looked by itself found something, more may be found: each success sends two more."""
        if wake.is_look:
            self.wake(wake.queue, 2, is_look=True)

    def stop(self) -> None:
        """For tests."""
        self._stopping.set()

    def _take_off(self, member: Member) -> None:
        for queue in member.queues:
            idle = self._idle.get(queue)
            if idle is not None:
                idle.pop(member, None)
                if not idle:
                    del self._idle[queue]

    def _start(self) -> None:
        """With the first node, since a process that forks afterwards would lose its threads."""
        if self._threads:
            return
        for run in (self._listen, self._note_signs, self._look_after, self._look_for_work):
            thread = threading.Thread(target=run, daemon=True, name="relay-board")
            self._threads.append(thread)
            thread.start()

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._hub.cache.publish(RELAY_CHANNEL, json.dumps(message))
        except redis.RedisError as error:
            log.warning("relay.not_told", error=str(error))  # the next sign of life of the older socket tells it

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._hub.cache.pubsub() as channel:
                    channel.subscribe(RELAY_CHANNEL)
                    while not self._stopping.is_set():
                        message = channel.get_message(timeout=5)
                        if message is not None and message["type"] == "subscribe":
                            self._look()  # what was missed before
                        elif message is not None:
                            self._guarded(lambda: self._hear(json.loads(message["data"])))  # noqa: B023  called at once
            except (redis.RedisError, OSError) as error:
                log.warning("relay.wakes_away", error=str(error))
                self._stopping.wait(1)  # Valkey is away: nothing tells when it is back, so ask again in a second

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "superseded":
            member = self._members.get(uuid.UUID(message["node_id"]))
            if member is not None and member.epoch < message["epoch"]:
                member.say_goodbye(SUPERSEDED)
        elif message.get("node_id"):
            member = self._members.get(uuid.UUID(message["node_id"]))
            if member is not None and member.has_room:
                member.wake(Wake(""))
        else:
            self.wake(message["queue"], int(message["count"]))

    def _note_signs(self) -> None:
        while not self._stopping.wait(SIGNS_SECONDS):
            self._guarded(self._note)

    def _note(self) -> None:
        with self._lock:
            signs, self._signs = self._signs, {}
        members = iter(signs)
        while lot := list(islice(members, SIGNS_AT_ONCE)):
            with self._hub.database.unit_of_work() as session:
                told = [(member.node_id, member.epoch, signs[member]) for member in lot]
                newest = relays.note_alive(session, told)
            for member in lot:
                if member.node_id not in newest:
                    member.say_goodbye(SUPERSEDED)

    def _look_after(self) -> None:
        """What nodes hold may have been cancelled or lost, and a token ends, without anybody's word."""
        while not self._stopping.wait(DEAD_CHECK_SECONDS):
            self._guarded(self._find_dead)
            self._guarded(self._end_tokens)

    def _find_dead(self) -> None:
        with self._lock:
            held = [(member, tuple(member.attempt_ids)) for member in self._busy]
        asked = iter([attempt for _, attempts in held for attempt in attempts])
        live: set[uuid.UUID] = set()
        while lot := list(islice(asked, CHECKED_AT_ONCE)):
            with self._hub.database.read_only() as session:
                live |= relays.still_live(session, lot)
        for member, attempts in held:
            dead = set(attempts) - live
            if dead:
                member.forget_dead(dead)

    def _end_tokens(self) -> None:
        now = time.time()
        with self._lock:
            over = [member for member in self._members.values() if member.ends_at < now]
        for member in over:
            member.say_goodbye(BAD_TOKEN)

    def _look_for_work(self) -> None:
        while not self._stopping.wait(self._hub.settings.relay_poll_seconds):
            self._guarded(self._look)

    def _look(self) -> None:
        for queue in list(self._idle):
            self.wake(queue, 1, is_look=True)

    def _guarded(self, action: Callable[[], None]) -> None:
        """What can't be done now is done the next time; these threads serve all nodes and must go on."""
        try:
            action()
        except Exception as error:  # noqa: BLE001
            log.warning("relay.board_failed", error=f"{type(error).__name__}: {error}")
