"""How many sockets each account has open at once, over all processes: each holds a seat in Valkey while its process lives."""

import threading
import time
import uuid
from typing import NamedTuple

import redis
import structlog

from app.errors import RateLimited

log = structlog.get_logger()
LEASE_SECONDS, RENEW_SECONDS = 90, 30.0
AWAY_SECONDS = 5.0  # so long nobody waits again for a Valkey that does not even refuse
# Seats by the moment at which they are free again unless renewed, by Valkey's own clock. Returns 0 for one that was taken,
# else the seconds until the first of the others may be free.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
    local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    return math.max(1, math.ceil(first[2] - now))
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 0
"""
_RENEW = """
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[1], clock[1] + clock[2] / 1000000 + ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class Seat(NamedTuple):
    account_id: uuid.UUID
    number: uuid.UUID

    @property
    def key(self) -> str:
        return f"task-streams:{self.account_id}"


class Seats:
    """`take` one for a socket, and `leave` it. A process that dies leaves its seats within LEASE_SECONDS; a Valkey that is away
    never stops a socket, and hears of all that are open once it is back."""

    def __init__(self, cache: redis.Redis, most: int) -> None:
        self._cache, self._most = cache, most
        self._lock = threading.Lock()
        self._taken: set[Seat] = set()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._away_until = 0.0

    def take(self, account_id: uuid.UUID) -> Seat:
        """RateLimited TOO_MANY_STREAMS where the account has as many as it may."""
        seat = Seat(account_id, uuid.uuid4())
        wait_seconds = self._ask(_TAKE, seat, self._most, LEASE_SECONDS, str(seat.number))
        if wait_seconds:
            message = f"this account follows tasks over {self._most} sockets, which is the most; close one and try again"
            raise RateLimited(message, code="TOO_MANY_STREAMS", details={"limit": self._most, "retry_after": wait_seconds})
        with self._lock:
            self._taken.add(seat)
            if self._thread is None:  # with the first one, since a process that forks afterwards would lose it
                self._thread = threading.Thread(target=self._keep_time, daemon=True, name="seats")
                self._thread.start()
        return seat

    def leave(self, seat: Seat) -> None:
        """Leaving twice is harmless."""
        with self._lock:
            self._taken.discard(seat)
        self._give_back(seat)

    def renew(self) -> None:
        """All seats of this process, those that Valkey has forgotten, too."""
        with self._lock:
            held = list(self._taken)
        for seat in held:
            self._ask(_RENEW, seat, LEASE_SECONDS, str(seat.number))
            if seat not in self._taken:  # it left meanwhile
                self._give_back(seat)

    def stop(self) -> None:
        """For tests: the thread ends."""
        self._stopping.set()

    def _give_back(self, seat: Seat) -> None:
        self._ask("return redis.call('ZREM', KEYS[1], ARGV[1]) and nil", seat, str(seat.number))

    def _ask(self, script: str, seat: Seat, *arguments: int | str) -> int:
        """0, too, where Valkey is away."""
        if time.monotonic() < self._away_until:
            return 0
        try:
            return int(self._cache.eval(script, 1, seat.key, *arguments) or 0)
        except redis.RedisError as error:
            if isinstance(error, redis.TimeoutError):
                self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("seats.away", error=str(error))
            return 0

    def _keep_time(self) -> None:
        while not self._stopping.wait(RENEW_SECONDS):
            try:
                self.renew()
            except Exception:  # noqa: BLE001  one surprise must not free the seats of all sockets
                log.exception("seats.not_renewed")
