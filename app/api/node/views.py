"""The node protocol: register, prove, heartbeat, claim, report, end."""

import base64
import binascii
import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from flask import jsonify
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint

from app.api import security
from app.api.context import hub, unit_of_work
from app.api.node import schemas
from app.core import accounts, jobs, nodes, outcomes
from app.core.jobs import Claim
from app.db import Session
from app.errors import Forbidden, InvalidInput, Unauthenticated
from app.flows import results
from app.models.nodes import Provider
from app.values import clock, signatures

blueprint = Blueprint("node", __name__, url_prefix="/node/v1", description="How GPU hosts talk to the hub")


def limits() -> tuple[int, int]:
    return hub().settings.max_failures, hub().settings.max_attempts


@blueprint.post("/nodes")
@blueprint.arguments(schemas.RegistrationSchema)
@blueprint.response(201)
def register(body: dict[str, Any]) -> ResponseReturnValue:
    """Register a node, or find it again by its key."""
    key = security.read_public_key(body["public_key"])
    node = {**body, "public_key": base64.b64encode(key).decode()}
    with unit_of_work() as session:
        provider, is_trusted = _enrolment(session, body, key)
        made = nodes.register(session, node, provider, is_trusted)
    queue = "{}" if made.is_trusted or made.provider_id is None else f"{{}}.{made.provider_id}"
    return {
        "node_id": str(made.node_id),
        "status": "REGISTERED",
        "challenge": made.challenge,
        "token": security.make_node_token(made.token_id),
        "expires_at": (clock.now() + timedelta(hours=nodes.TOKEN_HOURS)).isoformat(),
        "heartbeat_seconds": hub().settings.heartbeat_seconds,
        "queues": {name: queue.format(name) for name in body["capabilities"]},
        "broker": None,
    }, 201


def _enrolment(session: Session, body: Mapping[str, Any], key: bytes) -> tuple[Provider | None, bool]:
    """Who vouches for this node: (its provider, whether the operator trusts it)."""
    caller = security.key_account(session, "nodes:write")
    if caller is not None:
        account, is_operator = caller
        provider = nodes.get_provider(session, body["provider_id"]) if body["provider_id"] else None
        if provider is not None and not is_operator and provider.account_id != account.id:
            raise Forbidden("this key may enrol nodes only for its own providers")
        return provider, is_operator
    if body["enrolment"] is None:
        return None, False
    return _signed_enrolment(session, body["enrolment"], key), False


def _signed_enrolment(session: Session, enrolment: Mapping[str, Any], key: bytes) -> Provider:
    provider = nodes.get_provider(session, enrolment["provider_id"])
    window = hub().settings.signature_window_seconds
    if abs(time.time() - enrolment["timestamp"]) > window:
        raise Unauthenticated(f"the enrolment's timestamp is more than {window} s off; sign a new one")
    message = f"enrol:{provider.id}:{hashlib.sha256(key).hexdigest()}:{enrolment['timestamp']}"
    if not signatures.verify(provider.wallet, message, enrolment["signature"]):
        raise Unauthenticated("the enrolment is not signed by the provider's wallet", code="SIGNATURE_INVALID")
    accounts.use_once(session, message, window)
    return provider


@blueprint.post("/proof")
@blueprint.arguments(schemas.ProofSchema)
@blueprint.response(200)
def prove(body: dict[str, Any]) -> ResponseReturnValue:
    """Answer the token's challenge with the node's key."""
    with unit_of_work() as session:
        node, token = security.calling_node(session)
        try:
            signature = base64.b64decode(body["signature"], validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput("signature must be base64") from None
        if not signatures.verify_raw(base64.b64decode(node.public_key), token.challenge.encode(), signature):
            raise Unauthenticated("the signature does not prove this node's key", code="PROOF_INVALID")
        nodes.prove(session, token.id)
        return {"node_id": str(node.id), "status": nodes.status(node, hub().settings.node_unhealthy_seconds)}


@blueprint.post("/heartbeat")
@blueprint.arguments(schemas.HeartbeatSchema)
@blueprint.response(200)
def heartbeat(body: dict[str, Any]) -> ResponseReturnValue:
    """A sign of life; answers which of the node's attempts are dead."""
    with unit_of_work() as session:
        node, _ = security.calling_node(session)
        status = nodes.heartbeat(session, node, body, hub().settings.node_unhealthy_seconds)
        live = jobs.live_among(session, body["attempts"]) if body["attempts"] else set()
        dead = [str(attempt) for attempt in body["attempts"] if attempt not in live]
        return {"node_id": str(node.id), "status": status, "acknowledged": True, "dead_attempts": dead}


@blueprint.post("/claims")
@blueprint.arguments(schemas.ClaimSchema)
@blueprint.response(200)
def claim(body: dict[str, Any]) -> ResponseReturnValue:
    """Hand out the best fitting units."""
    settings = hub().settings
    with unit_of_work() as session:
        node, token = security.calling_node(session)
        nodes.assert_may_work(node, token, settings.node_proof_required, settings.open_nodes)
        if nodes.status(node, settings.node_unhealthy_seconds) != "HEALTHY":
            return {"jobs": {}, "attempts": []}
        claims = jobs.claim(session, node, body, settings.lease_seconds, settings.node_unhealthy_seconds)
        described = {str(job_id): _describe(session, job_id) for job_id in {item.job_id for item in claims}}
    return {"jobs": described, "attempts": [_attempt(item) for item in claims]}


def _describe(session: Session, job_id: uuid.UUID) -> dict[str, Any]:
    """What all attempts of a job share: settings, the scene's URL, limits."""
    settings = hub().settings
    job = jobs.get(session, job_id)
    scene = jobs.scene_of(session, job)
    url = hub().store.signed_url("GET", scene.storage_key, settings.file_url_seconds, now=clock.now())
    return {
        "job_id": str(job.id),
        "kind": job.kind,
        "settings": {
            key: job.settings.get(key) for key in ("width", "height", "samples", "engine", "output_format", "camera")
        },
        "inputs": [
            {
                "name": scene.file_name,
                "format": scene.format,
                "sha256": scene.sha256,
                "size_bytes": scene.size_bytes,
                "url": url,
            }
        ],
        "limits": {
            "max_seconds": settings.unit_max_seconds,
            "max_memory_bytes": settings.unit_max_memory_bytes,
            "max_output_bytes": settings.max_upload_bytes,
            "max_pixels": settings.max_pixels,
        },
    }


def _attempt(item: Claim) -> dict[str, Any]:
    settings = hub().settings
    url = hub().store.signed_url(
        "PUT", item.upload_key, settings.file_url_seconds, now=clock.now(), max_bytes=settings.max_upload_bytes
    )
    return {
        "attempt_id": str(item.attempt_id),
        "fence": item.fence,
        "unit_id": str(item.unit_id),
        "job_id": str(item.job_id),
        "kind": item.kind,
        "frame": item.frame,
        "lease_seconds": settings.lease_seconds,
        "lease_until": (clock.now() + timedelta(seconds=settings.lease_seconds)).isoformat(),
        "upload": {
            "method": "PUT",
            "url": url,
            "headers": {},
            "expires_at": (clock.now() + timedelta(seconds=settings.file_url_seconds)).isoformat(),
        },
    }


@blueprint.post("/progress")
@blueprint.arguments(schemas.ReportsSchema)
@blueprint.response(200)
def progress(body: dict[str, Any]) -> ResponseReturnValue:
    """Renew the leases of attempts that are still live."""
    reports = [(item["attempt_id"], item["fence"], item["progress"]) for item in body["reports"]]
    with unit_of_work() as session:
        security.calling_node(session)
        live = jobs.renew(session, reports, hub().settings.lease_seconds)
    until = (clock.now() + timedelta(seconds=hub().settings.lease_seconds)).isoformat()
    return {
        "reports": [
            {"attempt_id": str(item[0]), "live": item[0] in live, "lease_until": until if item[0] in live else None}
            for item in reports
        ]
    }


@blueprint.post("/results")
@blueprint.arguments(schemas.ResultsSchema)
@blueprint.response(200)
def finish(body: dict[str, Any]) -> ResponseReturnValue:
    """Check uploaded bytes and book them; each item is judged alone."""
    settings = hub().settings
    with unit_of_work() as session:
        node, _ = security.calling_node(session)
        _assert_own(session, node.id, [item["attempt_id"] for item in body["results"]])
    announced = [results.Announced(**item) for item in body["results"]]
    judged = results.accept(
        hub().database, hub().store, announced, settings.platform_fee_percent, limits(), settings.max_pixels
    )
    answers = [_judged(item) for item in judged]
    if all(item.code == "ATTEMPT_NOT_LIVE" for item in judged):
        message = "none of these attempts is live any more"
        return jsonify(error={"code": "ATTEMPT_NOT_LIVE", "message": message, "details": {"results": answers}}), 409
    return {"results": answers}


def _assert_own(session: Session, node_id: uuid.UUID, attempt_ids: Sequence[uuid.UUID]) -> None:
    if outcomes.foreign(session, node_id, attempt_ids):
        raise Forbidden("an attempt here is another node's", code="ATTEMPT_NOT_YOURS")


def _judged(item: results.Judged) -> dict[str, Any]:
    if item.code is None:
        return {"attempt_id": str(item.attempt_id), "accepted": True, "unit_state": "completed"}
    error = {"code": item.code, "message": item.message, "retryable": item.retryable}
    return {"attempt_id": str(item.attempt_id), "accepted": False, "error": error}


@blueprint.post("/failures")
@blueprint.arguments(schemas.FailuresSchema)
@blueprint.response(200)
def fail(body: dict[str, Any]) -> ResponseReturnValue:
    """A node could not do it: others try, and after too many failures the job ends."""
    answers = []
    with unit_of_work() as session:
        node, _ = security.calling_node(session)
        _assert_own(session, node.id, [item["attempt_id"] for item in body["failures"]])
        for item in sorted(body["failures"], key=lambda item: item["attempt_id"]):
            state = outcomes.fail(session, item["attempt_id"], item["fence"], item["code"], item["message"], limits())
            answers.append({"attempt_id": str(item["attempt_id"]), "accepted": state is not None, "unit_state": state})
    return {"failures": answers}


@blueprint.post("/releases")
@blueprint.arguments(schemas.ReleasesSchema)
@blueprint.response(200)
def release(body: dict[str, Any]) -> ResponseReturnValue:
    """Give units back unharmed."""
    with unit_of_work() as session:
        node, _ = security.calling_node(session)
        _assert_own(session, node.id, [item["attempt_id"] for item in body["attempts"]])
        pairs = sorted((item["attempt_id"], item["fence"]) for item in body["attempts"])
        return {"released": sum(outcomes.release(session, attempt, fence) for attempt, fence in pairs)}
