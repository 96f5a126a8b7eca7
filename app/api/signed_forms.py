"""Forms whose hash a wallet says to have signed. One may be as large as a scene and is read once: it is hashed on its way to a
file, before anybody takes it apart."""

import hashlib
import tempfile
from collections.abc import Callable

from flask import Flask, request

from app.api import idempotency, security, wallet_signatures
from app.api.context import FORM, read_only
from app.core import accounts
from app.errors import InvalidInput

CHUNK_BYTES, MEMORY_BYTES = 65_536, 1_048_576


def install(app: Flask, takes_forms: Callable[[str], bool]) -> None:
    """Hash the forms that come with a signature of version 2, where `takes_forms(path)`; others are small and stay in memory.

    Nothing is kept that nobody wants: where nobody asks whose key it is, or the route takes no form, whose body is then as small
    as any other there. A key that does not work is 401 before the form is read.
    """

    @app.before_request
    def hash_form() -> None:
        if request.mimetype != FORM or request.url_rule is None or not takes_forms(request.path):
            return
        key = security.credential() or ""
        if not key.startswith(wallet_signatures.KEY_PREFIX) or not wallet_signatures.covers_body():
            return
        if not (security.takes_users(app) or idempotency.HEADER in request.headers):
            return
        if _is_of_route(app):
            with read_only() as session:
                accounts.authenticate_key(session, key)
            wallet_signatures.note_form(_keep())
        else:
            request.max_content_length = MEMORY_BYTES
            if (request.content_length or 0) > MEMORY_BYTES:
                raise InvalidInput("this address takes no form: the body must be JSON", code="INVALID_JSON")


def _is_of_route(app: Flask) -> bool:
    """Whether the route takes a form, as its OpenAPI file says."""
    view = app.view_functions[str(request.endpoint)]
    body = getattr(view, "_apidoc", {}).get("manual_doc", {}).get("requestBody", {})
    return FORM in body.get("content", {})


def _keep() -> str:
    """Read the body, and have it read again from where it is kept. Returns its SHA-256 in hex."""
    digest = hashlib.sha256()
    kept = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  closed with the request that holds it
    while chunk := request.stream.read(CHUNK_BYTES):
        digest.update(chunk)
        kept.write(chunk)
    kept.seek(0)
    request.stream = kept
    return digest.hexdigest()
