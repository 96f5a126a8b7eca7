"""Who is calling: access tokens and API keys, the same in every dialect, and nodes' tokens."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from flask import Flask, g, request
from flask_jwt_extended import create_access_token

from app.api import tokens, wallet_signatures
from app.api.context import one_by_one
from app.api.keyring import Keyring, keyring
from app.core import accounts, nodes, sign_ins
from app.core.nodes import CallingNode
from app.db import Session
from app.errors import Forbidden, Unauthenticated
from app.models.accounts import SCOPES, Account
from app.models.nodes import Provider

ALL_SCOPES = frozenset(SCOPES)
USER_SCOPES = frozenset(scope for scope in SCOPES if not scope.startswith("admin:"))


NODE_TOKEN, NODE_ROUTES = "nodeToken", "node"
REGISTRATIONS = frozenset({"/node/v1/nodes", "/api/v1/nodes/register"})  # open; whoever enrols a node has a user's credential
STREAMS = frozenset({"/api/v1/tasks/<task_id>/stream"})  # websockets whose handshake is refused as any other request is


def install(app: Flask) -> None:
    """What can be no credential is 401 wherever one is wanted, whatever else is wrong with the request: its body is looked at
    later."""

    @app.before_request
    def turn_away() -> None:
        token = credential()
        if not token or request.url_rule is None:
            return
        wanted = _wanted(app)
        if NODE_TOKEN in wanted:
            node_token(token)
        elif wanted and token.startswith(wallet_signatures.KEY_PREFIX):
            wallet_signatures.read()
        elif wanted and not token.startswith(accounts.KEY_PREFIXES):
            tokens.recognize(token)


def install_signatures(app: Flask) -> None:
    """A key that needs the wallet's signature has it checked, and used up, before the view looks at anything: whatever becomes of
    the request, it is good once. Installed after what looks at bodies, which are signed, too."""

    @app.before_request
    def check_signature() -> None:
        token = credential() or ""
        if token.startswith(wallet_signatures.KEY_PREFIX) and takes_users(app):
            with one_by_one() as session:
                g.signed_key = (token, _signed_holder(session, token))


def takes_users(app: Flask) -> bool:
    """Whether the request is for a route that a user's credential opens: a wallet's signature is looked at nowhere else."""
    wanted = set() if request.url_rule is None else _wanted(app)
    return bool(wanted) and NODE_TOKEN not in wanted


def signer() -> Account | None:
    """Whose key it is that came with its wallet's signature, once that has held; None before, and for any other credential."""
    found: accounts.KeyHolder | None = g.get("signed_key", (None, None))[1]
    return None if found is None else found.account


def _signed_holder(session: Session, secret: str) -> accounts.KeyHolder:
    found = accounts.authenticate_key(session, secret)
    if found.needs_wallet_signature:
        wallet_signatures.check(session, found)
    return found


def _wanted(app: Flask) -> set[str]:
    """The kinds of credential that the route takes, as its OpenAPI file says; none where it asks for none."""
    if str(request.url_rule) in REGISTRATIONS | STREAMS:
        return {"bearer"}
    if request.blueprint == NODE_ROUTES:
        return {NODE_TOKEN}
    view = app.view_functions[str(request.endpoint)]
    documented = getattr(view, "_apidoc", {}).get("manual_doc", {}).get("security", ())
    return {name for kinds in documented for name in kinds}


def bearer() -> str | None:
    """The token of `Authorization: Bearer …`, or of X-API-Key."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else request.headers.get("X-API-Key")


def credential() -> str | None:
    """The one credential that a request is judged and counted by: a websocket's `?token=`, for a browser can send nothing else,
    before what its headers say; of any other request only the headers."""
    rule = request.url_rule
    sent = request.args.get("token") if rule is not None and rule.websocket else None
    return sent or bearer()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do. `sign_in_id` is None for an API key; `ends_at` is when that ends by itself."""

    account_id: uuid.UUID
    roles: frozenset[str]
    scopes: frozenset[str]
    rate_tier: str
    sign_in_id: uuid.UUID | None = None
    ends_at: datetime | None = None

    @property
    def is_operator(self) -> bool:
        return "operator" in self.roles

    def require(self, scope: str) -> None:
        """Forbidden unless the caller has the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope}", code="SCOPE_MISSING", details={"scope": scope})


def is_ours(token: str) -> bool:
    """Whether a credential has the form of an access token or an API key of ours."""
    return tokens.is_jwt(token) or token.startswith(accounts.KEY_PREFIXES)


def caller(session: Session, scope: str) -> Caller:
    """The request's caller, by an access token or an API key; one query.

    Unauthenticated for anything else (a node's or a refresh token, a key that also needs the wallet's signature without it),
    Forbidden without the scope.
    """
    token = bearer()
    if not token:
        raise Unauthenticated("sign in: send an access token or an API key as Authorization: Bearer …")
    return identify(session, token, scope)


def optional_caller(session: Session, scope: str) -> Caller | None:
    """The same where signing in is not asked for; None when nothing was sent."""
    return caller(session, scope) if bearer() else None


def identify(session: Session, token: str, scope: str | None = None, *, is_wallet_signed: bool = False) -> Caller:
    """Whose access token or API key this is (a websocket's `?token=`). Errors as `caller`.

    A key that needs the wallet's signature has it in the request that is served now; `is_wallet_signed` vouches that the key came
    with one before, as when somebody who is connected is looked at again.
    """
    if tokens.is_jwt(token):
        found = _signed_in(session, token, "access")
    else:
        found = _key_holder(session, token, is_wallet_signed)
    if scope is not None:
        found.require(scope)
    return found


def identify_socket(session: Session, token: str) -> Caller:
    """Whose cookie this is (app/api/cookies.py); one query. Unauthenticated for any other token."""
    return _signed_in(session, token, tokens.SOCKET)


def signed_in(session: Session) -> uuid.UUID:
    """The request's sign-in, which an API key does not have; one query. Unauthenticated otherwise."""
    token = bearer()
    found = identify(session, token) if token else None
    if found is None or found.sign_in_id is None:
        raise Unauthenticated("send the access token of the sign-in as Authorization: Bearer …")
    return found.sign_in_id


def _signed_in(session: Session, token: str, token_type: str) -> Caller:
    claims = tokens.read(token, token_type)
    account = sign_ins.account_of(session, claims.sign_in_id, claims.account_id)
    if account is None:
        raise Unauthenticated("this sign-in is over; log in again", code="SIGN_IN_ENDED")
    roles = frozenset(account.roles)
    return Caller(account.id, roles, _allowed(roles), account.rate_tier, claims.sign_in_id)


def _key_holder(session: Session, secret: str, is_wallet_signed: bool) -> Caller:
    if is_wallet_signed or not secret.startswith(wallet_signatures.KEY_PREFIX):
        found = accounts.authenticate_key(session, secret)
    else:
        checked, holder = g.get("signed_key", (None, None))
        found = holder if checked == secret else _signed_holder(session, secret)
    account, roles = found.account, frozenset(found.account.roles)
    return Caller(account.id, roles, _allowed(roles) & frozenset(found.scopes), account.rate_tier, ends_at=found.ends_at)


def _allowed(roles: frozenset[str]) -> frozenset[str]:
    """The most that somebody with these roles may do."""
    return ALL_SCOPES if "operator" in roles else USER_SCOPES


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
    return nodes.authenticate(session, node_token(bearer()))


def node_token(token: str | None) -> uuid.UUID:
    """What a node's token names; 401 where it is none of ours. Whether it is over is asked of its row."""
    if not token:
        raise Unauthenticated("send the node's token as Authorization: Bearer …")
    return _token_id(token, keyring())


@lru_cache(maxsize=4096)
def _token_id(token: str, keys: Keyring) -> uuid.UUID:
    """What a node's token names, if it is one of ours. Kept, since a signature does not change: the keys are part of
    the question, and whether the token is over is asked of its row on every call."""
    try:
        claims = keys.read(token)
        token_id = uuid.UUID(claims["sub"])
    except tokens.BROKEN:
        raise Unauthenticated("this node token is not valid; register again", code="NODE_TOKEN_INVALID") from None
    if claims.get("token_type") != "node":
        raise Unauthenticated("this is not a node's token", code="NODE_TOKEN_INVALID")
    return token_id


@dataclass(frozen=True, slots=True)
class Voucher:
    """Who vouches for a node that registers: a provider, the operator, both, or nobody."""

    provider: Provider | None
    is_operators: bool


def voucher(session: Session, provider_id: uuid.UUID | None, *, is_enrolment: bool = False) -> Voucher:
    """By the request's credential, where it has one: an operator's makes the node trusted, a provider's own enrols it.

    Forbidden for a provider that is not the caller's. Where a credential comes only to enrol (`is_enrolment`), it may leave its
    account's only provider unnamed.
    """
    found = optional_caller(session, "nodes:write")
    if found is None:
        return Voucher(None, False)
    provider = nodes.get_provider(session, provider_id) if provider_id else None
    if provider is None and is_enrolment and not found.is_operator:
        provider = nodes.only_provider(session, found.account_id)
    if provider is not None and not found.is_operator and provider.account_id != found.account_id:
        raise Forbidden("this key may enrol nodes only for its own providers")
    return Voucher(provider, found.is_operator)
