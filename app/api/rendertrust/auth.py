"""RenderTrust: register, log in, refresh, log out."""

from typing import Any

from flask_smorest import Blueprint

from app.api import cookies, security, tokens
from app.api.context import hub, unit_of_work
from app.api.rendertrust.document import SIGNED_IN
from app.api.rendertrust.schemas import auth as schemas
from app.core import sign_ins
from app.errors import Unauthenticated
from app.flows import sign_in

blueprint = Blueprint("rendertrust_auth", __name__, url_prefix="/api/v1/auth", description="Accounts and sign-ins")


@blueprint.post("/register")
@blueprint.arguments(schemas.RegistrationSchema)
@blueprint.response(201, schemas.RegisteredSchema)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
def register(body: dict[str, Any]) -> dict[str, Any]:
    """Make an account, and sign in to it."""
    made = sign_in.register(hub().database, body["email"], body["name"], body["password"])
    user = {"id": made.signed_in.account_id, "email": made.email, "name": made.name, "is_active": True}
    return {"user": user, "tokens": tokens.make_pair(made.signed_in)}


@blueprint.post("/login")
@blueprint.arguments(schemas.LoginSchema)
@blueprint.response(200, schemas.TokensSchema)
@blueprint.alt_response(401, "UNAUTHORIZED")
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
def login(body: dict[str, Any]) -> dict[str, str]:
    """Sign in with e-mail and password."""
    return tokens.make_pair(sign_in.log_in(hub().database, body["email"], body["password"]))


@blueprint.post("/refresh")
@blueprint.arguments(schemas.RefreshSchema)
@blueprint.response(200, schemas.TokensSchema)
@blueprint.alt_response(401, "UNAUTHORIZED")
@blueprint.alt_response(429, "TOO_MANY_REQUESTS")
def refresh(body: dict[str, Any]) -> dict[str, str]:
    """The next pair of tokens for a refresh token, which is used up by it."""
    claims = tokens.read(body["refresh_token"], "refresh")
    with unit_of_work() as session:
        signed_in = sign_ins.rotate(session, claims.sign_in_id, claims.account_id, claims.token_id)
    if signed_in is None:  # told after the commit: a token shown twice has ended its sign-in
        raise Unauthenticated(tokens.REFUSAL, code="TOKEN_INVALID")
    return tokens.make_pair(signed_in)


@blueprint.post("/logout")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.MessageSchema)
def logout() -> dict[str, str]:
    """End this sign-in: its access and refresh tokens are worth nothing from now on, everywhere."""
    with unit_of_work() as session:
        sign_ins.end(session, security.signed_in(session))
    cookies.take_back()
    return {"message": "Logged out successfully"}
