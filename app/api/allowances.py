"""RoboCompute's rate limits: so many requests a minute for each account, by its tier, and how many are left on every answer."""

import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import Flask, Response, current_app, g, request

from app.api import limits, security, tokens
from app.api.context import read_only
from app.api.limits import Limit
from app.core import rate_tiers
from app.errors import Unauthenticated
from app.values.rate_tiers import FREE_PER_MINUTE

WINDOW_SECONDS = 60
NAME = "robocompute"
# For a moment a process remembers whose a credential is. It decides only what is counted: whether the credential still holds is
# asked of its row on every call.
KNOWN_SECONDS, KNOWN_MOST = 2.0, 4096
_KNOWN = "lightyard_allowances"
Share = tuple[str, int]
"""Whose requests are counted together, and how many a minute they may be."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the headers of an answer say. `reset` in seconds since 1970."""

    limit: int
    remaining: int
    reset: int


def install(app: Flask, is_limited: Callable[[str], bool]) -> None:
    """Count requests of the paths that `is_limited`, before anything else is done for them; tell on each of their answers."""
    app.extensions[_KNOWN] = {}

    @app.before_request
    def spend() -> None:
        if not is_limited(request.path) or request.method == "OPTIONS":
            return
        whose, per_minute = _share()
        g.allowance = _untouched(per_minute)
        spent = limits.count(Limit(NAME, per_minute), whose)
        if spent is not None:
            g.allowance = Allowance(per_minute, max(0, per_minute - spent.used), spent.reset)
            if spent.wait_seconds:
                raise limits.refusal(Limit(NAME, per_minute), spent)
            g.allowance = replace(g.allowance, reset=min(spent.reset, _untouched(per_minute).reset))  # no window is longer

    @app.after_request
    def tell(response: Response) -> Response:
        if is_limited(request.path):
            found: Allowance = g.get("allowance") or _untouched(FREE_PER_MINUTE)
            response.headers["X-RateLimit-Limit"] = str(found.limit)
            response.headers["X-RateLimit-Remaining"] = str(found.remaining)
            response.headers["X-RateLimit-Reset"] = str(found.reset)
        return response


def _untouched(per_minute: int) -> Allowance:
    """Where nothing is counted: all of it is left."""
    return Allowance(per_minute, per_minute, int(time.time()) + WINDOW_SECONDS)


def _share() -> Share:
    """By the account that the request's credential is of, whether or not it will be let in; without one by its address."""
    token = security.bearer() or request.args.get("token")
    found = _known(token) if token and security.is_ours(token) else None
    return found or (f"address:{limits.neighbourhood(request.remote_addr or '')}", FREE_PER_MINUTE)


def _known(token: str) -> Share | None:
    known: dict[str, tuple[float, Share | None]] = current_app.extensions[_KNOWN]
    name, now = hashlib.sha256(token.encode()).hexdigest(), time.monotonic()
    kept = known.get(name)
    if kept is not None and now < kept[0]:
        return kept[1]
    found = _look_up(token)
    if len(known) >= KNOWN_MOST:
        known.clear()
    known[name] = (now + KNOWN_SECONDS, found)
    return found


def _look_up(token: str) -> Share | None:
    account_id: uuid.UUID | None = None
    if tokens.is_jwt(token):
        try:
            account_id = tokens.read(token, "access").account_id
        except Unauthenticated:
            return None
    with read_only() as session:
        found = rate_tiers.of_account(session, account_id) if account_id else rate_tiers.of_key(session, token)
    return None if found is None else (f"account:{found.account_id}", found.per_minute)
