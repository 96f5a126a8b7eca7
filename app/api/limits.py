"""Requests per minute, counted in Valkey for all processes, by address; a counter that is away never stops a request."""

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
import structlog
from flask import Flask, current_app, request

from app.api.context import hub
from app.errors import RateLimited

log = structlog.get_logger()
MINUTE_MS = 60_000
AWAY_SECONDS = 5.0  # so long nobody waits again for a Valkey that does not even refuse
_AWAY = "lightyard_limits_away"
# The requests of the last minute, newest first, by Valkey's own clock: any 60 s hold no more than the limit, and a refused
# request is not counted. Returns the milliseconds to wait (0 for a request that may pass), how many are counted now, and when
# the oldest of them (for a refused one: the one that stands in its way) is a minute old.
_COUNT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local most, span = tonumber(ARGV[1]), tonumber(ARGV[2])
local oldest = redis.call('LINDEX', KEYS[1], -1)
while oldest and now - oldest >= span do
    redis.call('RPOP', KEYS[1])
    oldest = redis.call('LINDEX', KEYS[1], -1)
end
local used = redis.call('LLEN', KEYS[1])
if used >= most then
    local gate = redis.call('LINDEX', KEYS[1], most - 1)
    return {span - (now - gate), used, gate + span}
end
redis.call('LPUSH', KEYS[1], now)
redis.call('PEXPIRE', KEYS[1], span)
return {0, used + 1, (oldest or now) + span}
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """Requests that share a counter: its name, and how many each address has in any minute."""

    name: str
    per_minute: int


Rule = Callable[[str, str], Limit | None]
"""(method, path) to the limit that a dialect's document sets, or None."""


def rayment_limit(method: str, path: str) -> Limit:
    """Rayment: 10/min for POST /render, 60/min for the list of providers and their details, 120/min for all others."""
    if method == "POST" and path == "/render":
        return Limit("rayment-render", 10)
    if path == "/providers" or path.startswith("/providers/"):
        return Limit("rayment-providers", 60)
    return Limit("rayment", 120)


# Ours: a registration needs no token and writes rows. Both doors share it.
NODE_REGISTRATIONS = Limit("node-registrations", 600)
RENDERTRUST_LIMITS = {
    "/api/v1/auth/register": Limit("sign-in-register", 10),
    "/api/v1/auth/login": Limit("sign-in-login", 5),
    "/api/v1/auth/refresh": Limit("sign-in-refresh", 3),
    "/api/v1/nodes/register": NODE_REGISTRATIONS,
}


def rendertrust_limit(method: str, path: str) -> Limit | None:
    """RenderTrust: 10/min to register, 5/min to log in, 3/min to refresh; 600/min to register nodes."""
    return RENDERTRUST_LIMITS.get(path) if method == "POST" else None


COCOON_READS, COCOON_WRITES = Limit("cocoon-reads", 100), Limit("cocoon-writes", 20)


def cocoon_limit(method: str, path: str) -> Limit:
    """Cocoon: 100/min for what reads, 20/min for what writes."""
    return COCOON_READS if method in ("GET", "HEAD") else COCOON_WRITES


RENDER_ORDERS = Limit("render-orders", 1200)
RNP019_LIMITS = {
    "/rnp/v1/wallet/challenge": Limit("wallet-challenge", 30),
    "/rnp/v1/wallet/login": Limit("wallet-login", 20),
    "/rnp/v1/wallet/link": Limit("wallet-link", 20),
    "/rnp/v1/scenes": Limit("scenes", 120),
    "/rnp/v1/jobs": RENDER_ORDERS,
    "/rnp/v1/estimates": RENDER_ORDERS,
}


def rnp019_limit(method: str, path: str) -> Limit | None:
    """RNP-019: what needs no token and writes rows or checks signatures, scenes, which nodes look at for free, and what may be
    asked and ordered before anything is paid."""
    return RNP019_LIMITS.get(path) if method == "POST" else None


# Each may make the hub call the broker's administration.
NODE_LIMITS = {"/node/v1/nodes": NODE_REGISTRATIONS, "/node/v1/proof": Limit("node-proofs", 600)}


def node_limit(method: str, path: str) -> Limit | None:
    """600/min to register, and to prove a key. Everything else is bounded by the node's own token."""
    return NODE_LIMITS.get(path) if method == "POST" else None


def install(app: Flask, rule_of: Callable[[str], Rule | None]) -> None:
    """Count every request before anything else is done for it; `rule_of(path)` is the owning dialect's rule."""

    @app.before_request
    def count() -> None:
        rule = rule_of(request.path)
        found = rule(request.method, request.path) if rule else None
        if found is not None and request.method != "OPTIONS":
            spend(found, neighbourhood(request.remote_addr or ""))


@dataclass(frozen=True, slots=True)
class Spent:
    """What became of a counted request: how long it must wait (0: it may pass), how many of the last minute are counted, and when
    the next of them is a minute old, in seconds since 1970."""

    wait_seconds: int
    used: int
    reset: int


def spend(limit: Limit, whose: str) -> Spent | None:
    """Count one request; 429 with Retry-After when `whose` (an address, an account) has had its minute's share. None where
    nothing is counted."""
    spent = count(limit, whose)
    if spent is not None and spent.wait_seconds:
        raise refusal(limit, spent)
    return spent


def refusal(limit: Limit, spent: Spent) -> RateLimited:
    message = f"Too many requests: {limit.per_minute} per minute; try again in {spent.wait_seconds} s"
    return RateLimited(message, details={"retry_after": spent.wait_seconds})


def count(limit: Limit, whose: str) -> Spent | None:
    """Count one request, unless it is one too many. None where limits are off, or the counter is away."""
    if not hub().settings.rate_limits or time.monotonic() < current_app.extensions.get(_AWAY, 0.0):
        return None
    key = f"limit:{limit.name}:{whose}"
    try:
        wait_ms, used, reset_ms = hub().cache.eval(_COUNT, 1, key, limit.per_minute, MINUTE_MS)
    except redis.RedisError as error:
        if isinstance(error, redis.TimeoutError):
            current_app.extensions[_AWAY] = time.monotonic() + AWAY_SECONDS
        log.warning("limits.away", error=str(error))
        return None
    return Spent(-(-int(wait_ms) // 1000), int(used), -(-int(reset_ms) // 1000))


def neighbourhood(address: str) -> str:
    """Whose share it is: an IPv4 address, or the /64 that one IPv6 customer has all to itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((found, 64), strict=False).network_address)
    return str(found)
