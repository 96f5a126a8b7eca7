"""Cocoon: participants, who run workers and are paid."""

from typing import Any

from flask_smorest import Blueprint

from app.api import security
from app.api.cocoon import identifiers, wallets
from app.api.cocoon.blueprint import ExactBlueprint
from app.api.cocoon.callers import reach, require_operator
from app.api.cocoon.document import SIGNED_IN
from app.api.cocoon.schemas import participants as schemas
from app.api.context import read_only, unit_of_work
from app.api.security import Caller
from app.core import participant_figures, participants
from app.core.participant_figures import Figures
from app.db import Session
from app.errors import Forbidden

READ, WRITE = "participants:read", "participants:write"
blueprint: Blueprint = ExactBlueprint(
    "cocoon_participants", __name__, url_prefix="/api/v1/participants", description="Participants"
)


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.ParticipantsQuerySchema, location="query")
@blueprint.response(200, schemas.ParticipantSchema(many=True))
def list_participants(query: dict[str, Any]) -> list[dict[str, Any]]:
    """Participants in the order of their ids, with what their workers and payouts come to."""
    with read_only() as session:
        among = reach(session, READ).among
        rows = participants.page(session, among, query["limit"], query["offset"], query["is_active"], query["is_operator"])
        return [_shown(item) for item in participant_figures.of(session, rows)]


@blueprint.post("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.NewParticipantSchema)
@blueprint.response(201, schemas.ParticipantSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Make a participant: an operator of any wallet, anybody else of the wallet that it signed in with."""
    wallet = body.pop("ton_wallet_address")
    with unit_of_work() as session:
        caller = security.caller(session, WRITE)
        if not caller.is_operator and not participants.owns_wallet(session, caller.account_id, wallet):
            raise Forbidden("only an operator, or whoever signed in with this wallet, may make it a participant")
        values, is_operator = _allowed(caller, body)
        made = participants.create(session, wallet, values)
        return _changed(session, made, is_operator)


@blueprint.get("/<participant_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.ParticipantSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def show(participant_id: str) -> dict[str, Any]:
    """One participant."""
    with read_only() as session:
        among = reach(session, READ).among
        row = participants.get(session, identifiers.read(participant_id, "participant_id"), among)
        return _shown(participant_figures.of(session, [row])[0])


@blueprint.patch("/<participant_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.PersonSchema)
@blueprint.response(200, schemas.ParticipantSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def change(body: dict[str, Any], participant_id: str) -> dict[str, Any]:
    """Change what is sent: a participant its own name and addresses, an operator everything but the wallet."""
    with unit_of_work() as session:
        found = reach(session, WRITE)
        wanted = identifiers.read(participant_id, "participant_id")
        participants.get(session, wanted, found.among)
        values, is_operator = _allowed(found.caller, body)
        participants.change(session, wanted, values, found.among)
        return _changed(session, wanted, is_operator)


@blueprint.get("/wallet/<wallet_address>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.ParticipantSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def show_by_wallet(wallet_address: str) -> dict[str, Any]:
    """The participant of a wallet, whichever form its address is written in."""
    with read_only() as session:
        among = reach(session, READ).among
        row = participants.by_wallet(session, wallets.read(wallet_address), among)
        return _shown(participant_figures.of(session, [row])[0])


def _allowed(caller: Caller, body: dict[str, Any]) -> tuple[dict[str, Any], bool | None]:
    """The columns to set, and whether the participant's account shall have the operator's role (None: as it is)."""
    if set(body) & set(schemas.OPERATORS_OWN):
        require_operator(caller)
    if "is_operator" in body:
        caller.require("admin:write")
    values = {name: value for name, value in body.items() if name != "is_operator"}
    return values, body.get("is_operator")


def _changed(session: Session, participant_id: int, is_operator: bool | None) -> dict[str, Any]:
    if is_operator is not None:
        participants.set_operator(session, participant_id, is_operator)
    row = participants.get(session, participant_id)
    return _shown(participant_figures.of(session, [row])[0])


def _shown(item: Figures) -> dict[str, Any]:
    row = item.participant
    return {
        "id": row.id,
        "ton_wallet_address": row.wallet,
        "telegram_user_id": row.telegram_user_id,
        "username": row.username,
        "email": row.email,
        "is_active": row.is_active,
        "is_operator": item.is_operator,
        "share_percent": row.share_percent,
        "total_workers": item.total_workers,
        "active_workers": item.active_workers,
        "total_revenue_ton": item.total_revenue,
        "total_payouts": item.total_payouts,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
