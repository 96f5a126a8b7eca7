"""RNP-019: order a render, follow it, change it, pause it, call it off."""

import uuid
from decimal import Decimal
from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, security
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER, idempotent, order_id
from app.api.rnp019 import job_words, paying
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.job_bodies import shown
from app.api.rnp019.schemas import jobs as schemas
from app.core import account_jobs, render_orders, render_payments
from app.core.render_orders import CREDITS
from app.db import Session
from app.flows import render_ordering
from app.flows.render_ordering import Wanted
from app.values.money import parse

blueprint = Blueprint("rnp019_jobs", __name__, url_prefix="/rnp/v1/jobs", description="Renders, and what else one ordered")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.JobOrderSchema)
@blueprint.response(201, schemas.JobSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(503, "SERVICE_UNAVAILABLE")
def create(body: dict[str, Any]) -> dict[str, Any]:
    """Order a render. `credits` sets what it costs at most aside and begins; `prepay` says where to pay; `pay_before_download`
    begins, and is paid when it is done."""
    with read_only() as session:
        caller = security.caller(session, "jobs:write")
    payment = body["payment"]
    wanted = Wanted(
        account_id=caller.account_id,
        name=body["name"],
        scene_id=body["scene_id"],
        prompt=body["prompt"],
        frames=body["frames"],
        settings=body["settings"],
        tier=body["tier"],
        priority=body["priority"],
        mode=payment["mode"],
        asset=payment["asset"],
        max_amount=payment["max_amount"],
        order_id=order_id(),
    )
    with paying.short_of_credits():
        job = render_ordering.order(hub().database, hub().render_terms, wanted)
    with read_only() as session:
        return _told(session, caller.account_id, job.id)


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.JobsQuerySchema, location="query")
@blueprint.response(200, schemas.JobsSchema)
def list_jobs(query: dict[str, Any]) -> dict[str, Any]:
    """One's own jobs, the newest first, whichever API they were ordered through."""
    among = job_words.states_of(query["status"]) if query["status"] else None
    with read_only() as session:
        caller = security.caller(session, "jobs:read")
        found = account_jobs.page(session, caller.account_id, query["limit"], query["offset"], among)
    return {"jobs": [shown(item) for item in found], "count": len(found), "limit": query["limit"], "offset": query["offset"]}


@blueprint.get("/<job_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.JobSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def show(job_id: str) -> dict[str, Any]:
    """One job: how far it is, and what it has cost by now."""
    with read_only() as session:
        caller = security.caller(session, "jobs:read")
        return _told(session, caller.account_id, identifiers.read(job_id, "job_id"))


@blueprint.patch("/<job_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.JobChangeSchema)
@blueprint.response(200, schemas.JobSchema)
@blueprint.alt_response(402, "PAYMENT_REQUIRED")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def change(body: dict[str, Any], job_id: str) -> dict[str, Any]:
    """Name it anew, move it in the queue, or let it cost more or less."""
    with unit_of_work() as session, paying.short_of_credits():
        account_id, wanted = _own(session, job_id)
        if "name" in body:
            render_orders.rename(session, account_id, wanted, body["name"])
        if "priority" in body:
            render_orders.set_priority(session, account_id, wanted, body["priority"])
        cap: Decimal | None = body.get("payment", body).get("max_amount")
        if cap is not None:
            asset = render_orders.get_own(session, account_id, wanted).asset
            render_orders.set_cap(session, account_id, wanted, parse(str(cap), asset), hub().render_terms.pay_later_most)
        return _told(session, account_id, wanted)


@blueprint.delete("/<job_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.JobSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def cancel(job_id: str) -> dict[str, Any]:
    """Call a job off, at any time: finished frames are kept and charged, the rest comes back. Again is harmless."""
    with unit_of_work() as session:
        account_id, wanted = _own(session, job_id)
        render_orders.cancel(session, account_id, wanted)
        return _told(session, account_id, wanted)


@blueprint.post("/<job_id>/pause")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.response(200, schemas.JobSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def pause(job_id: str) -> dict[str, Any]:
    """Hand out no more frames; those that nodes have are finished and charged. Again is harmless."""
    with unit_of_work() as session:
        account_id, wanted = _own(session, job_id)
        render_orders.pause(session, account_id, wanted)
        return _told(session, account_id, wanted)


@blueprint.post("/<job_id>/resume")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.response(200, schemas.JobSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def resume(job_id: str) -> dict[str, Any]:
    """Go on. Again is harmless."""
    with unit_of_work() as session:
        account_id, wanted = _own(session, job_id)
        render_orders.resume(session, account_id, wanted)
        return _told(session, account_id, wanted)


def _told(session: Session, account_id: uuid.UUID, job_id: uuid.UUID) -> dict[str, Any]:
    """The job as it is now, and what there is to pay for it on a chain, or was."""
    session.flush()
    found = account_jobs.get(session, account_id, job_id)
    body = shown(found)
    if found.order is not None and found.order.mode != CREDITS:
        payment = render_payments.find(session, job_id)
        if payment is not None and payment.chain != render_payments.LEDGER:
            body["payment"] = paying.told(session, payment.id)
    return body


def _own(session: Session, job_id: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Whose job it is, and which: one that the caller may change here."""
    caller = security.caller(session, "jobs:write")
    wanted = identifiers.read(job_id, "job_id")
    account_jobs.assert_born_here(session, caller.account_id, wanted)
    return caller.account_id, wanted
