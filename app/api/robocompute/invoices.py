"""RoboCompute: invoices, as JSON and as PDF."""

from typing import Any

from flask import Response, request
from flask_smorest import Blueprint

from app import offload
from app.api import identifiers, moments, security
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER as IDEMPOTENCY_KEY
from app.api.idempotency import idempotent
from app.api.robocompute import invoice_pdf
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import billing as schemas
from app.api.robocompute.schemas.loose import PageSchema
from app.core import invoices
from app.core.invoices import CreditNote, InvoiceView
from app.models.billing import InvoiceLine
from app.values import clock

JSON, PDF = "application/json", "application/pdf"

blueprint = Blueprint("robocompute_invoices", __name__, url_prefix="/api/v1/billing/invoices", description="Invoices")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(PageSchema, location="query")
@blueprint.response(200, schemas.InvoicesSchema)
def list_invoices(page: dict[str, int]) -> dict[str, Any]:
    """One's own invoices, the newest first. A month's is issued when it is over."""
    with read_only() as session:
        caller = security.caller(session, "billing:read")
        found = invoices.listed(session, caller.account_id, page["limit"], page["offset"])
    return {"invoices": [_invoice(item) for item in found], "count": len(found)}


@blueprint.post("")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[IDEMPOTENCY_KEY])
@blueprint.response(201, schemas.InvoicesSchema)
@blueprint.alt_response(409, "CONFLICT")
def issue_invoices() -> dict[str, Any]:
    """Have an invoice issued now, one a currency, over what was charged and stands on none yet."""
    with unit_of_work() as session:
        caller = security.caller(session, "billing:write")
        now, seller = clock.now(), hub().settings.seller
        assets = invoices.open_assets(session, caller.account_id)
        issued = [invoices.issue(session, caller.account_id, asset, now, seller) for asset in assets]
        found = [_invoice(invoices.get_own(session, caller.account_id, item.id)) for item in issued if item is not None]
    return {"invoices": found, "count": len(found)}


@blueprint.get("/<invoice_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.InvoiceWithLinesSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def get_invoice(invoice_id: str) -> dict[str, Any] | Response:
    """An invoice with a line a task; as a PDF with `Accept: application/pdf`, or under its id with `.pdf`."""
    found = _own(invoice_id)
    if request.accept_mimetypes.best_match((JSON, PDF), JSON) == PDF:
        return _pdf(found)
    notes = [_note(found, item) for item in found.credit_notes]
    return {**_invoice(found), "lines": [_line(found, item) for item in found.lines], "credit_notes": notes}


@blueprint.get("/<invoice_id>.pdf")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, {"type": "string", "format": "binary"}, content_type=PDF)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def get_invoice_pdf(invoice_id: str) -> Response:
    """An invoice as a PDF."""
    return _pdf(_own(invoice_id))


def _own(invoice_id: str) -> InvoiceView:
    with read_only() as session:
        caller = security.caller(session, "billing:read")
        return invoices.get_own(session, caller.account_id, identifiers.read(invoice_id, "invoice_id"))


def _pdf(found: InvoiceView) -> Response:
    response = Response(offload.run(invoice_pdf.render, found), mimetype=PDF)
    response.headers.set("Content-Disposition", "attachment", filename=f"{found.number}.pdf")
    response.headers["Vary"] = "Accept"
    return response


def _invoice(found: InvoiceView) -> dict[str, Any]:
    item = found.invoice
    return {
        "id": item.id,
        "invoice_id": item.id,
        "number": found.number,
        "sequence": item.number,
        "status": "paid",
        "currency": item.asset,
        "amount": found.amount,
        "total": found.amount,
        "amount_due": found.money(0),
        "credited": found.credited,
        "net": found.amount - found.credited,
        "tasks": item.lines,
        "period_start": moments.written(item.period_start),
        "period_end": moments.written(item.period_end),
        "issued_at": moments.written(item.issued_at),
        "seller": item.seller,
        "buyer": item.buyer,
        "pdf_url": f"/api/v1/billing/invoices/{item.id}.pdf",
    }


def _note(found: InvoiceView, item: CreditNote) -> dict[str, Any]:
    return {
        "number": found.note_number(item),
        "position": item.line.position,
        "task_id": item.line.job_id,
        "dispute_id": item.dispute.id,
        "amount": found.money(item.dispute.cost_minor),
        "reason": item.dispute.decision_reason or "",
        "issued_at": moments.written(found.note_issued_at(item)),
    }


def _line(found: InvoiceView, item: InvoiceLine) -> dict[str, Any]:
    return {
        "position": item.position,
        "task_id": item.job_id,
        "name": item.name,
        "seconds": item.seconds,
        "price_per_hour": found.money(item.price_minor),
        "amount": found.money(item.amount_minor),
        "started_at": item.started_at and moments.written(item.started_at),
        "charged_at": moments.written(item.charged_at),
    }
