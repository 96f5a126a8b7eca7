"""RoboCompute: what a provider earned."""

from datetime import UTC, date, datetime, time
from typing import Any

from flask_smorest import Blueprint

from app.api.context import read_only
from app.api.dialect import BadRequestParser
from app.api.robocompute import callers
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import earnings as schemas
from app.core import earnings
from app.core.earnings import Direct, Earnings, Span, Sum
from app.values.money import Money

blueprint = Blueprint(
    "robocompute_earnings", __name__, url_prefix="/api/v1/providers/<provider_id>/earnings", description="What providers earned"
)
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.EarningsQuerySchema, location="query")
@blueprint.response(200, schemas.EarningsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def get_summary(query: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """What was earned in a span of days, by periods and by resources; a job paid directly is seen, and never payable."""
    first, last = query["start_date"], query["end_date"]
    span = Span(first and _moment(first, time.min), last and _moment(last, time.max))
    with read_only() as session:
        caller = callers.provider(session, provider_id, "billing:read")
        found = earnings.of_provider(session, caller.provider.id, caller.account_id, span, query["interval"])
    days = {"start_date": first and first.isoformat(), "end_date": last and last.isoformat()}
    return {"provider_id": caller.provider.id, "interval": query["interval"], **days, **_shown(found)}


def _moment(day: date, at: time) -> datetime:
    return datetime.combine(day, at, UTC)


def _shown(found: Earnings) -> dict[str, Any]:
    resources = found.by_resource.items()
    return {
        "total_usdc": found.total.amount("USDC"),
        "total_usdt": found.total.amount("USDT"),
        "total_others": _others(found.total),
        "total_tasks": found.total.tasks,
        "slashed_usdc": found.slashed.get("USDC", Money(0, "USDC")),
        "slashed_usdt": found.slashed.get("USDT", Money(0, "USDT")),
        "by_period": [{"period": day, **_sum(item)} for day, item in found.by_period.items()],
        "by_resource": [{"resource_id": key[0], "type": key[1], **_sum(item)} for key, item in resources],
        "direct": _direct(found.direct),
    }


def _sum(item: Sum) -> dict[str, Any]:
    return {"usdc": item.amount("USDC"), "usdt": item.amount("USDT"), "others": _others(item), "tasks": item.tasks}


def _others(item: Sum) -> list[dict[str, Any]]:
    return [{"currency": amount.asset, "amount": amount} for amount in item.others]


def _direct(rows: list[Direct]) -> dict[str, Any]:
    amounts = [
        {"currency": row.received.asset, "received": row.received, "refunded": row.refunded, "jobs": row.jobs} for row in rows
    ]
    return {"payable": False, "jobs": sum(row.jobs for row in rows), "amounts": amounts}
