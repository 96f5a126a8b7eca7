"""The JWTs of a sign-in: HS256 under the hub's own keys and nothing else. A token names a sign-in; whether that is alive is in
the database, so ending it ends its tokens at once in every process."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from flask_jwt_extended import create_access_token, create_refresh_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from app.api.keyring import Keyring, keyring
from app.core.sign_ins import REFRESH_SECONDS, SignedIn
from app.errors import Unauthenticated
from app.values import clock

ACCESS_SECONDS = 1800
TOKEN_LIMIT_CHARS = 4096
SOCKET = "socket"
REFUSAL = "this token is not valid or is over; log in again"
# Every way in which reading a stranger's token can end. A header nested without end is one of them.
BROKEN = (PyJWTError, JWTExtendedException, ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of ours says. `expires` in seconds since 1970."""

    token_type: str
    token_id: uuid.UUID
    account_id: uuid.UUID
    sign_in_id: uuid.UUID
    expires: int


def is_jwt(token: str) -> bool:
    """Whether a credential looks like a JWT; an API key has no dots."""
    return token.count(".") >= 2


def make_pair(signed_in: SignedIn) -> dict[str, str]:
    """The two tokens of a sign-in, as every dialect answers with them."""
    identity, claims = str(signed_in.account_id), {"sid": str(signed_in.id)}
    access = create_access_token(
        identity, additional_claims={**claims, "token_type": "access"}, expires_delta=timedelta(seconds=ACCESS_SECONDS)
    )
    refresh = create_refresh_token(
        identity,
        additional_claims={**claims, "token_type": "refresh", "jti": str(signed_in.refresh_id)},
        expires_delta=timedelta(seconds=REFRESH_SECONDS),
    )
    return {"access_token": access, "refresh_token": refresh, "token_type": "bearer"}


def make_socket_token(signed_in: SignedIn) -> str:
    """What the cookie of a sign-in holds: worth nothing but to a websocket that reads cookies, and over when the sign-in is."""
    claims = {"sid": str(signed_in.id), "token_type": SOCKET}
    lifetime = timedelta(seconds=REFRESH_SECONDS)
    return str(create_access_token(str(signed_in.account_id), additional_claims=claims, expires_delta=lifetime))


def read(token: str, token_type: str) -> Claims:
    """The claims of a token of ours of this type that is not over; Unauthenticated for everything else."""
    try:
        if len(token) > TOKEN_LIMIT_CHARS:
            raise ValueError("too long")
        claims = _claims(token, keyring())
    except BROKEN:
        raise Unauthenticated(REFUSAL, code="TOKEN_INVALID") from None
    if claims.token_type != token_type:
        raise Unauthenticated(f"this is not the {token_type} token; send that one", code="TOKEN_INVALID")
    if claims.expires <= clock.now().timestamp():
        raise Unauthenticated(REFUSAL, code="TOKEN_INVALID")
    return claims


def recognize(token: str) -> None:
    """Unauthenticated for what none of our keys has signed, and for what is over; who it lets in is asked later."""
    try:
        if len(token) > TOKEN_LIMIT_CHARS:
            raise ValueError("too long")
        _is_signed(token, keyring())
    except BROKEN:
        raise Unauthenticated(REFUSAL, code="TOKEN_INVALID") from None


@lru_cache(maxsize=4096)
def _is_signed(token: str, keys: Keyring) -> bool:
    keys.read(token)
    return True


@lru_cache(maxsize=4096)
def _claims(token: str, keys: Keyring) -> Claims:
    """Kept, since a signature does not change: the keys are part of the question, and the end is asked of each call."""
    found = keys.read(token)
    if type(found["exp"]) is not int:
        raise TypeError("exp")
    return Claims(
        token_type=str(found["token_type"]),
        token_id=uuid.UUID(found["jti"]),
        account_id=uuid.UUID(found["sub"]),
        sign_in_id=uuid.UUID(found["sid"]),
        expires=found["exp"],
    )
