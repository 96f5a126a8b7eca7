"""Cocoon: the tax report of participants, and finance's list of all payouts, as CSV."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response
from flask_smorest import Blueprint

from app.api import security
from app.api.cocoon import csv_files, wallets
from app.api.cocoon.blueprint import ExactBlueprint
from app.api.cocoon.callers import reach
from app.api.cocoon.document import SIGNED_IN
from app.api.cocoon.schemas import payouts as schemas
from app.api.context import read_only
from app.core import finance_exports, participants, tax_reports
from app.core.finance_exports import FinanceRow
from app.core.tax_reports import TaxRow
from app.errors import Forbidden
from app.values import clock
from app.values.money import Money
from app.values.payouts import TON
from app.values.spreadsheet import Cell

SCOPE = "payouts:read"
Shown = Callable[[str | None], str | None]
TAX_HEADER = (
    "Date", "Transaction Hash", "Participant ID", "Wallet Address", "Amount (TON)", "Amount (USD)", "From Address", "Confirmed",
    "Block Number", "Total Requests", "Compute Time (seconds)",
)  # fmt: skip
FINANCE_HEADER = (
    "Payout ID", "Created", "Transaction Time", "Chain", "Asset", "Amount", "Amount (USD)", "USD Rate", "USD Rate Source", "To",
    "From", "Memo", "Reference", "Transaction Hash", "Block Number", "State", "Origin", "Confirmed", "Account", "Name",
    "Participant ID",
)  # fmt: skip
CSV: dict[str, Any] = {"content_type": "text/csv", "schema": {"type": "string"}}
blueprint: Blueprint = ExactBlueprint("cocoon_exports", __name__, url_prefix="/api/v1/payouts/export", description="Reports")


@blueprint.get("/tax-report")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.TaxReportQuerySchema, location="query")
@blueprint.response(200, **CSV)
@blueprint.alt_response(404, "NOT_FOUND")
def tax_report(query: dict[str, Any]) -> Response:
    """What was paid to a participant, or to all that the caller may see, in a year of UTC, as CSV."""
    with read_only() as session:
        among, wanted = reach(session, SCOPE).among, query["participant_id"]
        if wanted is not None:
            among = (participants.get(session, wanted, among).id,)
    page = partial(_tax_page, tax_reports.Wanted(among, query["year"]))
    cells = partial(_tax_cells, wallets.writer())
    return csv_files.send(TAX_HEADER, f"cocoon_payouts_tax_report_{clock.now():%Y%m%d}.csv", page, cells)


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.ExportQuerySchema, location="query")
@blueprint.response(200, **CSV)
def export(query: dict[str, Any]) -> Response:
    """Ours, for finance and operators: all payouts of all chains and APIs, as CSV."""
    with read_only() as session:
        caller = security.caller(session, SCOPE)
    if not caller.roles & {"finance", "operator"}:
        raise Forbidden("only finance or an operator may do this", code="NOT_FINANCE")
    page = partial(_finance_page, finance_exports.Wanted(query["chain"], query["since"], query["until"]))
    cells = partial(_finance_cells, wallets.writer())
    return csv_files.send(FINANCE_HEADER, f"lightyard_payouts_{clock.now():%Y%m%d}.csv", page, cells)


def _tax_page(wanted: tax_reports.Wanted, session: Any, after: Any, limit: int) -> list[TaxRow]:
    return tax_reports.page(session, wanted, after, limit)


def _finance_page(wanted: finance_exports.Wanted, session: Any, after: Any, limit: int) -> list[FinanceRow]:
    return finance_exports.page(session, wanted, after, limit)


def _tax_cells(address: Shown, row: TaxRow) -> list[Cell]:
    return [
        row.at, row.tx_hash, row.participant_id, address(row.wallet), row.amount, row.amount_usd, address(row.source),
        row.is_confirmed, row.block_number, row.total_requests, row.total_compute_time_seconds,
    ]  # fmt: skip


def _finance_cells(address: Shown, row: FinanceRow) -> list[Cell]:
    found, show = row.payout, address if row.payout.chain == TON else _as_it_is
    return [
        found.number, found.created_at, found.transaction_time, found.chain, found.asset, Money(found.amount_minor, found.asset),
        found.amount_usd, found.usd_rate, found.usd_rate_source, show(found.destination), show(found.source),
        found.memo, found.reference, found.tx_hash, found.block_number, found.state, found.origin, found.is_confirmed,
        str(found.account_id), row.name, found.participant_id,
    ]  # fmt: skip


def _as_it_is(address: str | None) -> str | None:
    return address
