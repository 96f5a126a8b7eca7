"""RoboCompute's rate limits: so many requests a minute for each account, by its tier, and how many are left on every answer.

An account's minute is spent only by who has proven to be let in: by a key that works, an access token whose sign-in is alive, a
key with its wallet's signature over this request. All others spend their address's, so nobody can use up somebody else's.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import Flask, Response, current_app, g, request

from app.api import limits, security, tokens, wallet_signatures
from app.api.context import read_only
from app.api.limits import Limit
from app.api.short_memory import ShortMemory
from app.core import rate_tiers
from app.core.rate_tiers import AccountRate
from app.errors import RateLimited, Unauthenticated
from app.values.rate_tiers import FREE_PER_MINUTE

WINDOW_SECONDS = 60
NAME = "robocompute"
# For a moment a process remembers whose a credential is. It decides only what is counted: whether the credential still holds is
# asked of its row on every call. Those that are nobody's are remembered apart: a flood of them makes nobody's good one forgotten.
KNOWN_SECONDS, KNOWN_MOST = 2.0, 4096
_KNOWN, _STRANGE = "lightyard_allowances", "lightyard_allowances_strange"
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
    app.extensions[_KNOWN] = ShortMemory[Share](KNOWN_SECONDS, KNOWN_MOST)
    app.extensions[_STRANGE] = ShortMemory[bool](KNOWN_SECONDS, KNOWN_MOST)

    @app.before_request
    def spend() -> None:
        if not _is_counted(is_limited):
            return
        token = security.credential() or ""
        if not _may_be_signed(app, token):
            _spend(_proven(token) or _address())

    @app.after_request
    def tell(response: Response) -> Response:
        if not is_limited(request.path):
            return response
        if _is_counted(is_limited) and response.status_code < 500:
            response = _spend_refused(app, response)
        for name, value in headers().items():
            response.headers[name] = value
        return response


def install_signed(app: Flask, is_limited: Callable[[str], bool]) -> None:
    """Count what a wallet has signed. Installed after what checks signatures: one that is good once is used up by then, whatever
    the count says, so nobody can send it again later."""

    @app.before_request
    def spend_signed() -> None:
        if _is_counted(is_limited):
            account = security.signer()
            _spend(_address() if account is None else _of(rate_tiers.of_account(account)))


def headers() -> dict[str, str]:
    """What the request's answer says of its share, whoever writes the answer."""
    found: Allowance = g.get("allowance") or _untouched(FREE_PER_MINUTE)
    return {
        "X-RateLimit-Limit": str(found.limit),
        "X-RateLimit-Remaining": str(found.remaining),
        "X-RateLimit-Reset": str(found.reset),
    }


def _is_counted(is_limited: Callable[[str], bool]) -> bool:
    """Whether the request is still to be counted."""
    return "allowance" not in g and request.method != "OPTIONS" and is_limited(request.path)


def _spend(share: Share) -> None:
    whose, per_minute = share
    g.allowance = _untouched(per_minute)
    spent = limits.count(Limit(NAME, per_minute), whose)
    if spent is None:
        return
    g.allowance = Allowance(per_minute, max(0, per_minute - spent.used), spent.reset)
    if spent.wait_seconds:
        raise limits.refusal(Limit(NAME, per_minute), spent)
    g.allowance = replace(g.allowance, reset=min(spent.reset, _untouched(per_minute).reset))  # no window is longer


def _spend_refused(app: Flask, response: Response) -> Response:
    """What was refused before its signature was looked at, or for it, is its address's; one too many is told that instead."""
    try:
        _spend(_address())
    except RateLimited as error:
        return app.make_response(app.handle_user_exception(error))
    return response


def _untouched(per_minute: int) -> Allowance:
    """Where nothing is counted: all of it is left."""
    return Allowance(per_minute, per_minute, int(time.time()) + WINDOW_SECONDS)


def _address() -> Share:
    return f"address:{limits.neighbourhood(request.remote_addr or '')}", FREE_PER_MINUTE


def _of(rate: AccountRate) -> Share:
    return f"account:{rate.account_id}", rate.per_minute


def _may_be_signed(app: Flask, token: str) -> bool:
    """Whether a wallet's signature is still to be checked, which takes the request's body. One that is missing, too old or no
    signature proves nothing, and so does one that nobody looks at."""
    if not token.startswith(wallet_signatures.KEY_PREFIX) or not security.takes_users(app):
        return False
    try:
        wallet_signatures.read()
    except Unauthenticated:
        return False
    return True


def _proven(token: str) -> Share | None:
    """Of the account that the credential proves by itself; None for one that is nobody's, or proves nothing alone."""
    if not security.is_ours(token) or token.startswith(wallet_signatures.KEY_PREFIX):
        return None
    known: ShortMemory[Share] = current_app.extensions[_KNOWN]
    strange: ShortMemory[bool] = current_app.extensions[_STRANGE]
    name = hashlib.sha256(token.encode()).hexdigest()
    found = known.get(name)
    if found is not None or strange.get(name):
        return found
    rate = _look_up(token)
    if rate is None:
        strange.keep(name, True)
        return None
    known.keep(name, _of(rate))
    return _of(rate)


def _look_up(token: str) -> AccountRate | None:
    if not tokens.is_jwt(token):
        with read_only() as session:
            return rate_tiers.of_key(session, token)
    try:
        claims = tokens.read(token, "access")
    except Unauthenticated:
        return None
    with read_only() as session:
        return rate_tiers.of_sign_in(session, claims.sign_in_id, claims.account_id)
