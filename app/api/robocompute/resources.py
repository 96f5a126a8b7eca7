"""What a provider offers for compute tasks, changed by itself alone."""

from typing import Any

from flask_smorest import Blueprint

from app.api import identifiers
from app.api.context import read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.idempotency import PARAMETER, idempotent
from app.api.moments import written
from app.api.robocompute import callers
from app.api.robocompute.document import SIGNED_IN
from app.api.robocompute.schemas import resources as schemas
from app.core import resources
from app.core.resources import Listed
from app.values.money import DOWN, Money, from_decimal

ASSET = "USDC"  # both currencies have its decimals

blueprint = Blueprint(
    "robocompute_resources",
    __name__,
    url_prefix="/api/v1/providers/<provider_id>/resources",
    description="What a provider offers",
)
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("")
@idempotent
@blueprint.doc(**SIGNED_IN, parameters=[PARAMETER])
@blueprint.arguments(schemas.ResourceOrderSchema)
@blueprint.response(201, schemas.ResourceSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def create(body: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """Offer a GPU or a machine, at a price by the hour; one task at a time has it."""
    with unit_of_work() as session:
        own = callers.provider(session, provider_id, "providers:write").provider.id
        sizes = schemas.read_sizes(body["resource_type"], body["specifications"])
        offer = {"type": body["resource_type"], "status": body["status"], **sizes, **_columns(body)}
        return shown(resources.create(session, own, offer))


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.ResourceQuerySchema, location="query")
@blueprint.response(200, schemas.ResourcesSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def list_resources(query: dict[str, Any], provider_id: str) -> dict[str, Any]:
    """A provider's own resources, the oldest first."""
    with read_only() as session:
        own = callers.provider(session, provider_id, "providers:read").provider.id
        page = {"limit": query["limit"], "offset": query["offset"]}
        found, total = resources.listed(session, own, query.get("type"), query.get("status"), **page)
        return {"resources": [shown(item) for item in found], "total": total, **page}


@blueprint.get("/<resource_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.ResourceSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def get_resource(provider_id: str, resource_id: str) -> dict[str, Any]:
    """One resource of one's own."""
    with read_only() as session:
        own = callers.provider(session, provider_id, "providers:read").provider.id
        return shown(resources.get_own(session, own, identifiers.read(resource_id, "resource_id")))


@blueprint.patch("/<resource_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.ResourceChangeSchema)
@blueprint.response(200, schemas.ResourceSchema)
@blueprint.alt_response(404, "NOT_FOUND")
def change(body: dict[str, Any], provider_id: str, resource_id: str) -> dict[str, Any]:
    """A new price, status, place or specification; a task under way keeps the price that it was accepted at."""
    with unit_of_work() as session:
        own = callers.provider(session, provider_id, "providers:write").provider.id
        named = identifiers.read(resource_id, "resource_id")
        changes = _columns(body) | {name: body[name] for name in ("status", "location") if name in body}
        if "specifications" in body:
            kind = resources.get_own(session, own, named).resource.type
            changes = schemas.read_sizes(kind, body["specifications"]) | changes
        return shown(resources.change(session, own, named, changes))


@blueprint.delete("/<resource_id>")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.DeletedSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def delete(provider_id: str, resource_id: str) -> dict[str, Any]:
    """Offer it no more; RESOURCE_UNAVAILABLE while a task has it."""
    with unit_of_work() as session:
        own = callers.provider(session, provider_id, "providers:write").provider.id
        resources.delete(session, own, identifiers.read(resource_id, "resource_id"))
    return {"resource_id": resource_id, "status": "deleted"}


def _columns(body: dict[str, Any]) -> dict[str, Any]:
    """What stands in a body, as columns of the resource."""
    columns: dict[str, Any] = {}
    if "specifications" in body:
        columns["specifications"] = body["specifications"]
    place = body.get("location") or schemas.location_of(body.get("specifications", {}))
    if place is not None:
        columns["location"] = place
    if "pricing" in body:
        columns["price_minor"] = from_decimal(body["pricing"]["per_hour"], ASSET, DOWN).minor
        columns["currency"] = body["pricing"]["currency"]
    return columns


def shown(item: Listed) -> dict[str, Any]:
    """A resource as the dialect writes it."""
    row = item.resource
    return {
        "resource_id": row.id,
        "provider_id": row.provider_id,
        "resource_type": row.type,
        "specifications": row.specifications,
        "pricing": {"per_hour": Money(row.price_minor, row.currency or ASSET), "currency": row.currency},
        "location": row.location,
        "status": item.status,
        "created_at": written(row.created_at),
        "updated_at": written(row.updated_at),
    }
