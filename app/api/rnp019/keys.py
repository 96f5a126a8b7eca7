"""RNP-019: API keys."""

from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, moments, security
from app.api.context import read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.schemas import keys as schemas
from app.core import api_keys
from app.models.accounts import ApiKey

blueprint = Blueprint("rnp019_keys", __name__, url_prefix="/rnp/v1/keys", description="API keys")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.KeyOrderSchema)
@blueprint.response(201, schemas.NewKeySchema)
@blueprint.alt_response(409, "CONFLICT")
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Make a key that can do no more than whoever makes it. Its secret is in this answer and in no other."""
    with unit_of_work() as session:
        caller = security.caller(session, "keys:write")
        wanted = (body["name"], body["scopes"], caller.scopes, caller.ends_at, body["kind"])
        made = api_keys.issue(session, caller.account_id, *wanted)
        return {**_shown(made.key), "secret": made.secret}


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.KeysSchema)
def list_keys() -> dict[str, Any]:
    """One's own keys that work, the newest first."""
    with read_only() as session:
        caller = security.caller(session, "keys:read")
        found = [_shown(key) for key in api_keys.of_account(session, caller.account_id)]
    return {"keys": found, "count": len(found)}


@blueprint.delete("/<key_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(204)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def revoke(key_id: str) -> None:
    """End a key of one's own, at once and in every API."""
    with unit_of_work() as session:
        caller = security.caller(session, "keys:write")
        api_keys.revoke(session, caller.account_id, identifiers.read(key_id, "key_id"))


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "needs_wallet_signature": key.needs_wallet_signature,
        "created_at": moments.written(key.created_at),
    }
