"""Providers as clients find them, and as their own software tells of itself."""

from datetime import timedelta
from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers, security
from app.api.context import hub, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.moments import written
from app.api.robocompute import callers, provider_tasks
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.resources import ASSET
from app.api.robocompute.resources import shown as shown_resource
from app.api.robocompute.schemas import providers as schemas
from app.core import nodes, offers, presence, provider_figures, reputation, resources, task_assignments
from app.core.reputation import Reputation
from app.values import clock
from app.values.money import DOWN, Money, from_decimal

UPTIME_DAYS = 30

blueprint = Blueprint(
    "robocompute_providers", __name__, url_prefix="/api/v1/providers", description="Who sells compute, and how it does"
)
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.get("/search")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.ProviderSearchSchema, location="query")
@blueprint.response(200, schemas.FoundProvidersSchema)
def search(query: dict[str, Any]) -> dict[str, Any]:
    """Providers that have what is asked for: those that are there first, then by reputation, then by price."""
    page = {"limit": query["limit"], "offset": query["offset"]}
    wanted = {name: query.get(name) for name in ("gpu_memory_min", "cpu_cores_min", "location")}
    if "max_price" in query:
        wanted["max_price_minor"] = from_decimal(query["max_price"], ASSET, DOWN).minor
    with read_only() as session:
        security.caller(session, "providers:read")
        found, total = offers.search(session, wanted, **page, silence_seconds=hub().settings.node_unhealthy_seconds)
    return {"providers": [_found(row) for row in found], "total": total, **page}


@blueprint.get("/<provider_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.ProviderDetailsSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def get_provider(provider_id: str) -> dict[str, Any]:
    """One provider, as everybody may see it."""
    with read_only() as session:
        security.caller(session, "providers:read")
        row = nodes.get_provider(session, identifiers.read(provider_id, "provider_id"))
        worth = reputation.read(session, row.id)
        offered = [shown_resource(item) for item in offers.shown_resources(session, row.id)]
        return {
            "provider_id": row.id,
            "name": row.name,
            "wallet_address": row.wallet,
            "registered_at": written(row.registered_at),
            "status": presence.read(session, row.id, hub().settings.node_unhealthy_seconds).status,
            "tasks_completed": offers.tasks_completed(session, row.id),
            "uptime_percentage": presence.uptime_percent(session, row.id, clock.now() - timedelta(days=UPTIME_DAYS)),
            "reputation_score": round(worth.score, 4),
            "reputation": _worth(worth),
            "locations": sorted({item["location"] for item in offered if item["location"]}),
            "resources": offered,
        }


@blueprint.get("/<provider_id>/status")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.ProviderStatusSchema)
@blueprint.alt_response(400, "BAD_REQUEST")
@blueprint.alt_response(404, "NOT_FOUND")
def status(provider_id: str) -> dict[str, Any]:
    """How one's own provider is doing now."""
    with read_only() as session:
        own = callers.provider(session, provider_id, "providers:read").provider.id
        here = presence.read(session, own, hub().settings.node_unhealthy_seconds)
        return {
            "provider_id": own,
            "status": here.status,
            "last_heartbeat": None if here.heard_at is None else written(here.heard_at),
            "nodes": here.nodes,
            "active_tasks": provider_figures.active_tasks(session, own),
            "resources": resources.counted(session, own),
            "reported": {"active_tasks": here.active_tasks, "resources_available": here.resources_available},
            "reputation": _worth(reputation.read(session, own)),
        }


@blueprint.post("/<provider_id>/heartbeat")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.HeartbeatSchema)
@blueprint.response(200, schemas.HeardSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def heartbeat(body: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """A provider's software is there; the tasks in its hands keep their lease."""
    said = presence.ONLINE if body["status"] in schemas.SAME_AS_ONLINE else body["status"]
    with unit_of_work() as session:
        own = callers.provider(session, provider_id, "providers:write").provider.id
        task_assignments.keep(session, own, provider_tasks.terms())
        presence.note(session, own, said, body["active_tasks"], body["resources_available"])
        active = provider_figures.active_tasks(session, own)
    again = hub().settings.heartbeat_seconds
    return {"provider_id": own, "status": said, "active_tasks": active, "next_heartbeat_seconds": again}


@blueprint.get("/<provider_id>/metrics")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.MetricsQuerySchema, location="query")
@blueprint.response(200, schemas.ProviderMetricsSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def metrics(query: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """What one's own provider did in a period: tasks, time, money and presence, in all and by the day."""
    since = clock.now() - query["period"]
    with read_only() as session:
        own = callers.provider(session, provider_id, "providers:read").provider.id
        figures = provider_figures.read(session, own, since)
        return {
            "provider_id": own,
            "period": schemas.written_period(query["period"]),
            "since": written(since),
            "active_tasks": provider_figures.active_tasks(session, own),
            "tasks": figures.ended,
            "success_rate": figures.success_percent,
            "compute_seconds": figures.seconds,
            "earned_usdc": Money(figures.earned_minor.get("USDC", 0), "USDC"),
            "earned_usdt": Money(figures.earned_minor.get("USDT", 0), "USDT"),
            "uptime_percentage": presence.uptime_percent(session, own, since),
            "reputation_score": round(reputation.read(session, own).score, 4),
            "days": [_day(*row) for row in figures.days],
        }


def _found(row: Any) -> dict[str, Any]:
    return {
        "provider_id": row.provider_id,
        "name": row.name,
        "status": row.status,
        "reputation_score": round(row.score, 4),
        "gpu_memory_gb": row.gpu_memory_gb,
        "gpu_count": row.gpu_count,
        "cpu_cores": row.cpu_cores,
        "ram_gb": row.ram_gb,
        "price_per_hour": None if row.price_minor is None else Money(row.price_minor, ASSET),
        "locations": row.locations or [],
        "resources": row.resources,
        "nodes": row.nodes,
    }


def _worth(worth: Reputation) -> dict[str, Any]:
    figures = {"score": round(worth.score, 4), "good": round(worth.good, 2), "bad": round(worth.bad, 2)}
    return figures | {"clients": worth.clients, "days": worth.days}


def _day(day: Any, completed: int, failed: int, seconds: int) -> dict[str, Any]:
    return {"date": day.date().isoformat(), "completed": completed, "failed": failed, "compute_seconds": seconds}
