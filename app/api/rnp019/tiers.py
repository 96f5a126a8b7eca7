"""RNP-019: what each tier costs, and what is free of it now."""

from typing import Any

from flask_smorest import Blueprint

from app.api import security
from app.api.context import hub, read_only
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.schemas import estimates as schemas
from app.core import render_nodes
from app.core.render_nodes import Availability
from app.values.render_tiers import ECONOMY

blueprint = Blueprint("rnp019_tiers", __name__, url_prefix="/rnp/v1/tiers", description="Tiers and what is free of them")


@blueprint.get("")
@blueprint.doc(**SIGNED_IN)
@blueprint.response(200, schemas.TiersSchema)
def list_tiers() -> dict[str, Any]:
    """Each tier's price, the nodes that render, what waits before a new frame, and for how long it would wait."""
    with read_only() as session:
        security.caller(session, "jobs:read")
        found = render_nodes.availability(session, hub().estimate_terms.nodes)
    return {"tiers": [_shown(item) for item in found.values()], "count": len(found)}


def _shown(found: Availability) -> dict[str, Any]:
    tariff = hub().estimate_terms.tariff
    price = tariff.per_hour(found.tier)
    return {
        "tier": found.tier,
        "asset": price.asset,
        "price_per_hour": price,
        "multiplier": str(tariff.multipliers[found.tier]),
        "wait_seconds_most": hub().settings.economy_wait_seconds if found.tier == ECONOMY else None,
        **availability(found),
    }


def availability(found: Availability) -> dict[str, Any]:
    """What is there, as the dialect writes it."""
    return {
        "nodes": found.nodes,
        "nodes_free": found.free,
        "queued": found.queued,
        "rendering": found.rendering,
        "wait_seconds": _rounded(found.wait_seconds),
        "wait_seconds_high": _rounded(found.wait_high_seconds),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
