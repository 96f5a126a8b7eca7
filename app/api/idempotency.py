"""`Idempotency-Key` on POSTs that move money: the same key and body get the same answer for a day."""

import hashlib
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, after_this_request, g, make_response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from app import offload
from app.api import security
from app.api.context import unit_of_work
from app.core import idempotency
from app.core.idempotency import Kept
from app.db import Session
from app.errors import InvalidInput, LightyardError
from app.values.x402 import SIGNATURE_HEADER

HEADER = "Idempotency-Key"
"""Whose request carries it is asked whose it is, where others are not."""
KEY_LIMIT_CHARS = 255
CHUNK_BYTES = 1024 * 1024
_HEADERS = "kept_headers"
NOT_OVER = 202  # what it tells of goes on; the same request tells how it stands then
View = Callable[..., ResponseReturnValue]
Who = Callable[[Session], str]
PARAMETER = {
    "in": "header",
    "name": HEADER,
    "schema": {"type": "string", "maxLength": KEY_LIMIT_CHARS},
    "description": "same key and body, same answer",
}
"""How an OpenAPI file tells of the key."""


def idempotent(view: View) -> View:
    """Answer a repeated request from what was kept. Only what was committed is kept (2xx, and the 402 of a quote):
    after a refusal or a crash the key is free, and the same request may be tried again.
    """
    return _guard(view, _client)


def idempotent_for_nodes(view: View) -> View:
    """The same where a node calls: its keys are its own, whichever of its tokens it sends."""
    return _guard(view, lambda session: f"node:{security.calling_node(session).id}")


def _guard(view: View, who: Who) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> ResponseReturnValue:
        key = request.headers.get(HEADER)
        if key is None:
            return view(*args, **kwargs)
        if not 0 < len(key) <= KEY_LIMIT_CHARS or not key.isascii() or not key.isprintable():
            raise InvalidInput(f"Idempotency-Key must be 1 to {KEY_LIMIT_CHARS} printable ASCII characters")
        request_hash = _request_hash()
        key = _with_payment(key)
        with unit_of_work() as session:
            caller = hashlib.sha256(who(session).encode()).hexdigest()
            held = idempotency.begin(session, caller, key, request_hash)
        if isinstance(held, Kept):
            return _replay(held)
        g.idempotency_id = held
        end: Callable[[Session, uuid.UUID], None] = idempotency.let_go  # until it is known: a commit whose answer was lost counts
        try:
            response = make_response(view(*args, **kwargs))
            if not (200 <= response.status_code < 300 or response.status_code == 402):
                end = idempotency.release if response.status_code < 500 else idempotency.let_go
                return response
            if response.status_code == NOT_OVER:
                return response
            with unit_of_work() as session:
                idempotency.keep(session, held, response.status_code, response.get_data(as_text=True), g.get(_HEADERS))
            end = _leave
            return response
        except (LightyardError, HTTPException) as error:
            end = idempotency.release if _is_refusal(error) else idempotency.let_go
            raise
        finally:
            with unit_of_work() as session:
                end(session, held)

    return guarded


def _with_payment(key: str) -> str:
    """A client of x402 sends the same request again with a payment: that is another request, once for each payment."""
    payment = request.headers.get(SIGNATURE_HEADER)
    return key if payment is None else hashlib.sha256(f"{key}\n{payment}".encode()).hexdigest()


def _leave(_session: Session, _held_id: uuid.UUID) -> None:
    """The answer is kept."""


def _is_refusal(error: LightyardError | HTTPException) -> bool:
    """Nothing was committed: the request was understood and turned down."""
    if isinstance(error, LightyardError):
        return error.status < 500 and not error.retryable
    return error.code is not None and error.code < 500


def order_id() -> uuid.UUID | None:
    """Of a request with an Idempotency-Key, an id that is the same however often that request is followed: who makes one row
    under it makes one row. None without a key."""
    found: uuid.UUID | None = g.get("idempotency_id")
    return found


def add_header(name: str, value: str) -> None:
    """Have this answer carry a header, also whenever it is told again."""
    found = g.setdefault(_HEADERS, {})
    if not found:
        after_this_request(_add_headers)
    found[name] = value


def _add_headers(response: Response) -> Response:
    response.headers.update(g.get(_HEADERS))
    return response


def _replay(kept: Kept) -> Response:
    response = Response(kept.body, kept.status, mimetype="application/json")
    response.headers["Idempotent-Replayed"] = "true"
    response.headers.update(kept.headers)
    return response


def _client(session: Session) -> str:
    """Keys of different callers never meet: the account that signed in (its tokens come and go), the API key, else the address.

    Nobody is answered from what was kept who would not be let in now: a token or key of ours that is over is 401 here.
    """
    secret = security.bearer()
    who = f"key:{secret}" if secret else f"address:{request.remote_addr}"
    if secret and security.is_ours(secret):
        caller = security.identify(session, secret)
        who = f"account:{caller.account_id}" if caller.sign_in_id else who
    return who


def _hash_file(digest: Any, stream: Any) -> None:
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
    stream.seek(0)


def _request_hash() -> str:
    """What was asked. A form is hashed by its fields and files, since clients draw a new boundary for each try."""
    digest = hashlib.sha256(f"{request.method} {request.full_path}\n".encode())
    if request.mimetype == "multipart/form-data":
        for name, value in sorted(request.form.items(multi=True)):
            digest.update(f"field {len(name)} {name} {len(value)} {value}\n".encode())
        for name, upload in sorted(request.files.items(multi=True), key=lambda pair: (pair[0], pair[1].filename or "")):
            digest.update(f"file {len(name)} {name} {upload.filename}\n".encode())
            offload.run(_hash_file, digest, upload.stream)
    else:
        digest.update(request.get_data())
    return digest.hexdigest()
