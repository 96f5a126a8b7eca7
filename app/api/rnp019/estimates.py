"""RNP-019: what a render would cost and how long it would take, before it is ordered."""

import uuid
from typing import Any

from flask_smorest import Blueprint

from app.api import security
from app.api.context import hub, read_only
from app.api.dialect import BadRequestParser
from app.api.rnp019.document import SIGNED_IN
from app.api.rnp019.schemas import estimates as schemas
from app.api.rnp019.tiers import availability
from app.core import prompt_estimates, scene_estimates
from app.core.prompt_estimates import PromptEstimate
from app.core.scene_estimates import Offer, SceneEstimate, Wanted
from app.errors import InvalidInput
from app.flows.estimating import estimate_probed
from app.values import frames, prompts

blueprint = Blueprint("rnp019_estimates", __name__, url_prefix="/rnp/v1/estimates", description="What a render would cost")
blueprint.ARGUMENTS_PARSER = BadRequestParser()


@blueprint.post("")
@blueprint.doc(**SIGNED_IN)
@blueprint.arguments(schemas.EstimateOrderSchema)
@blueprint.response(200, schemas.EstimatesSchema)
@blueprint.alt_response(404, "NOT_FOUND")
@blueprint.alt_response(409, "CONFLICT")
def estimate(body: dict[str, Any]) -> dict[str, Any]:
    """Price and time in every tier, from measured seconds per frame where these bytes were rendered before; orders nothing."""
    with read_only() as session:
        caller = security.caller(session, "jobs:write" if body["probe"] else "jobs:read")
    found_frames = frames.parse(body["frames"], hub().settings.max_frames)
    asset = body.get("asset") or body["payment"].get("asset") or schemas.DEFAULT_ASSET
    if body["scene_id"] is None:
        return _of_prompt(body, len(found_frames), asset)
    wanted = Wanted(caller.account_id, body["scene_id"], found_frames, body["settings"], asset)
    terms = hub().scene_estimate_terms
    if body["probe"]:
        found, probe = estimate_probed(hub().database, hub().signals, terms, hub().probe_limits, wanted)
        return _shown(wanted.scene_id, len(found_frames), found, probe)
    with read_only() as session:
        return _shown(wanted.scene_id, len(found_frames), scene_estimates.for_scene(session, terms, wanted), None)


def _of_prompt(body: dict[str, Any], count: int, asset: str) -> dict[str, Any]:
    if body["probe"]:
        raise InvalidInput("probe: is of a scene; a prompt's estimate needs none", code="PROBE_OF_PROMPT")
    prompts.read(body["prompt"], hub().settings.prompt_most_chars)
    work = prompt_estimates.work_of(body["settings"], count, hub().prompt_limits)
    with read_only() as session:
        found = prompt_estimates.estimate(session, hub().estimate_terms, hub().rates, work, asset)
    return _shown(None, count, found, None)


def _shown(scene_id: uuid.UUID | None, count: int, found: SceneEstimate | PromptEstimate, probe: str | None) -> dict[str, Any]:
    return {
        "scene_id": scene_id,
        "frames_total": count,
        "settings": found.settings,
        "basis": found.offers[0].estimate.basis,
        "probe": probe,
        "estimates": [_tier(offer) for offer in found.offers],
        "warnings": found.warnings,
    }


def _tier(offer: Offer) -> dict[str, Any]:
    found, price = offer.estimate, offer.price
    return {
        "tier": found.tier,
        "asset": price.bound.asset,
        "cost": price.bound,
        "expected_cost": offer.expected,
        "price_per_hour": price.per_hour,
        "rate": f"{price.rate:f}",
        "seconds": round(found.seconds, 1),
        "seconds_low": round(found.seconds_low, 1),
        "seconds_high": round(found.seconds_high, 1),
        "frame_seconds": round(found.frame_seconds, 3),
        "availability": availability(found.availability),
    }
