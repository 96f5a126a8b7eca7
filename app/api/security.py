"""Who is calling: node tokens and API keys."""

import base64
import binascii
import uuid
from datetime import timedelta
from functools import lru_cache
from typing import Any

from flask import current_app, request
from flask_jwt_extended import create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from app.core import accounts, nodes
from app.core.nodes import CallingNode
from app.db import Session
from app.errors import Forbidden, InvalidInput, Unauthenticated

PEM_HEAD, PEM_TAIL = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of RFC 8410, before the 32 bytes


def bearer() -> str | None:
    """The token of `Authorization: Bearer …`, or of X-API-Key."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else request.headers.get("X-API-Key")


def make_node_token(token_id: uuid.UUID) -> str:
    return str(
        create_access_token(
            identity=str(token_id),
            additional_claims={"token_type": "node"},
            expires_delta=timedelta(hours=nodes.TOKEN_HOURS),
        )
    )


def calling_node(session: Session) -> CallingNode:
    """The node behind the request's token; 401 for anything else."""
    token = bearer()
    if not token:
        raise Unauthenticated("send the node's token as Authorization: Bearer …")
    return nodes.authenticate(session, _token_id(token, current_app.config["JWT_SECRET_KEY"]))


@lru_cache(maxsize=4096)
def _token_id(token: str, secret_key: str) -> uuid.UUID:
    """What a node's token names, if it is one of ours. Kept, since a signature does not change: `secret_key` is part of
    the question, and whether the token is over is asked of its row on every call."""
    try:
        claims: dict[str, Any] = decode_token(token)
        token_id = uuid.UUID(claims["sub"])
    except (PyJWTError, JWTExtendedException, ValueError, KeyError, TypeError):
        raise Unauthenticated("this node token is not valid; register again", code="NODE_TOKEN_INVALID") from None
    if claims.get("token_type") != "node":
        raise Unauthenticated("this is not a node's token", code="NODE_TOKEN_INVALID")
    return token_id


def key_account(session: Session, scope: str) -> tuple[Any, bool] | None:
    """The account of an API key that has `scope`, and whether it is an operator; None when no key was sent."""
    secret = bearer()
    if not secret:
        return None
    account, scopes = accounts.authenticate_key(session, secret)
    if scope not in scopes:
        raise Forbidden(f"this key lacks the scope {scope}", code="SCOPE_MISSING")
    return account, "operator" in account.roles


def read_public_key(text: str) -> bytes:
    """The 32 raw bytes of an ed25519 key, from PEM or base64."""
    body = text.strip()
    if body.startswith(PEM_HEAD):
        body = "".join(body.removeprefix(PEM_HEAD).partition(PEM_TAIL)[0].split())
    try:
        raw = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("public_key must be an ed25519 key: PEM, or base64 of its 32 bytes") from None
    raw = raw.removeprefix(ED25519_PREFIX) if len(raw) == 44 else raw
    if len(raw) != 32:
        raise InvalidInput("public_key must be an ed25519 key of 32 bytes")
    return raw
