"""The cookie of a wallet's sign-in: /ws/metrics takes it from pages of this hub, and nothing else does.

A browser sends cookies with whatever page opens a socket, so the page's Origin decides, too.
"""

from urllib.parse import urlsplit

from flask import Response, after_this_request, request

from app.api import security, tokens
from app.api.context import hub
from app.api.security import Caller
from app.core.sign_ins import REFRESH_SECONDS, SignedIn
from app.db import Session
from app.errors import Forbidden

NAME = "lightyard_socket"
PATH = "/ws/metrics"


def give(signed_in: SignedIn) -> None:
    """Send the cookie with this request's answer; not to a page elsewhere, which would sign its visitor in as somebody else."""
    if not _is_own_origin(request.headers.get("Origin"), is_needed=False):
        return
    token = tokens.make_socket_token(signed_in)

    @after_this_request
    def send(response: Response) -> Response:
        response.set_cookie(
            NAME,
            token,
            max_age=REFRESH_SECONDS,
            path=PATH,
            secure=hub().settings.is_production,
            httponly=True,
            samesite="Strict",
        )
        return response


def take_back() -> None:
    """Have the browser forget it, with this request's answer."""

    @after_this_request
    def send(response: Response) -> Response:
        is_secure = hub().settings.is_production
        response.delete_cookie(NAME, path=PATH, secure=is_secure, httponly=True, samesite="Strict")
        return response


def cookie_caller(session: Session) -> Caller | None:
    """Whose cookie came with the request; None when none did. One query.

    Forbidden when the page that sent it is not this hub's, Unauthenticated when the sign-in is over.
    """
    token = request.cookies.get(NAME)
    if token is None:
        return None
    if not _is_own_origin(request.headers.get("Origin"), is_needed=True):
        raise Forbidden("the cookie counts only from this hub's own pages; send ?token= instead", code="ORIGIN_FOREIGN")
    return security.identify_socket(session, token)


def _is_own_origin(origin: str | None, *, is_needed: bool) -> bool:
    """A page of PUBLIC_URL, of PUBLIC_HOST, or of an origin that CORS_ORIGINS names (`*` and `null` name none); in development
    of the host that was called, too, which in production is only what the caller says it is."""
    if origin is None:
        return not is_needed
    settings = hub().settings
    base = urlsplit(settings.base_url)
    own = {f"{base.scheme}://{base.netloc}", f"https://{settings.public_host}"}
    if not settings.is_production:
        own.add(f"{request.scheme}://{request.host}")
    return origin in own | set(settings.named_origins) - {"*", "null"}
