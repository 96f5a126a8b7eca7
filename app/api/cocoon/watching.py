"""Who may watch workers over /ws/metrics: by a token, or by the cookie of a wallet's sign-in from this hub's own pages."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import request

from app.api import cookies, security
from app.api.cocoon.callers import reach_of
from app.db import Session
from app.errors import Unauthenticated

SCOPE = "workers:read"
Among = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Pass:
    """Of which participants a watcher may see workers (None: all), and how to ask again later whether that still holds."""

    among: Among
    renew: Callable[[Session], Among]


def admit(session: Session) -> Pass:
    """By the request's `?token=`, its `Authorization`, or its cookie. Unauthenticated and Forbidden say what is missing."""
    token = request.args.get("token") or security.bearer()
    if token:
        first = security.identify(session, token, SCOPE)
        return _made(session, first, lambda later: security.identify(later, token, SCOPE, is_wallet_signed=True))
    found = cookies.cookie_caller(session)  # its Origin is looked at here, and only here
    if found is None:
        raise Unauthenticated("sign in: open the socket with ?token=, or after a wallet login")
    cookie = request.cookies[cookies.NAME]
    return _made(session, found, lambda later: security.identify_socket(later, cookie))


def _made(session: Session, first: security.Caller, identify: Callable[[Session], security.Caller]) -> Pass:
    def among(later: Session, caller: security.Caller) -> Among:
        caller.require(SCOPE)
        return reach_of(later, caller).among

    return Pass(among(session, first), lambda later: among(later, identify(later)))
