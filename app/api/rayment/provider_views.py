"""Rayment hub: what a provider calls, signed by its wallet."""

import time
import uuid
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint

from app.adapters.outbound import validate_public_url
from app.api.context import hub, json_body, unit_of_work
from app.api.idempotency import idempotent
from app.api.rayment import bodies, document, reading
from app.core import accounts, jobs, nodes, provider_outcomes
from app.db import Session
from app.errors import InvalidInput, NotFound, Unauthenticated
from app.flows import provider_results
from app.models.nodes import PROVIDER_STATUSES, Provider
from app.values import clock, signatures

blueprint = Blueprint("rayment_provider", __name__, url_prefix="/provider", description="Rayment's providers")


def check_signature(session: Session, provider: Provider, message: str, body: Any) -> None:
    """The provider's wallet signed this; with `timestamp` it is fresh and good once, and shorter ones end for good."""
    signature, timestamp = body.get("signature"), body.get("timestamp")
    if not isinstance(signature, str) or not signature:
        raise Unauthenticated("signature is missing: sign the message with the provider's wallet")
    if timestamp is not None:
        message = _with_timestamp(message, timestamp)
    elif provider.signs_timestamps:
        raise Unauthenticated("this provider signs with a timestamp: send one, and end the message in :{timestamp}")
    if not signatures.verify(provider.wallet, message, signature):
        raise Unauthenticated("Invalid signature")
    if timestamp is not None:
        accounts.use_once(session, message, hub().settings.signature_window_seconds)
        provider.signs_timestamps = True


def _with_timestamp(message: str, timestamp: object) -> str:
    text = str(timestamp)
    if isinstance(timestamp, bool) or not text.isascii() or not text.isdigit() or len(text) > 16:
        raise InvalidInput("timestamp must be milliseconds since 1970")
    if abs(time.time() * 1000 - int(text)) > hub().settings.signature_window_seconds * 1000:
        raise Unauthenticated("the timestamp is more than 300 s off; sign a new message")
    return f"{message}:{text}"


@blueprint.post("/register")
@blueprint.doc(**document.REGISTER)
def register() -> ResponseReturnValue:
    """Register a provider; the same wallet and name again is the same provider, unchanged."""
    body = json_body()
    name, wallet = reading.member(body, "name", str, 100), reading.member(body, "wallet", str, 64)
    if not signatures.is_solana_address(wallet):
        raise InvalidInput("wallet must be a Solana address")
    endpoint = reading.member(body, "endpoint", str, 500)
    offer = {"name": name, "wallet": wallet, "endpoint": endpoint, "spec": reading.spec(body)}
    tariff = reading.tariff(reading.member(body, "pricing", dict))
    validate_public_url(endpoint, allow_private=hub().settings.allow_private_endpoints)
    with unit_of_work() as session:
        provider_id = nodes.register_provider(session, offer, tariff)
        check_signature(session, nodes.get_provider(session, provider_id), f"register:{wallet}:{name}", body)
    return bodies.success({"providerId": str(provider_id), "message": "Provider registered successfully"})


def _provider(session: Session, body: Any) -> Provider:
    return nodes.get_provider(session, reading.identifier(body.get("providerId"), "Provider not found"))


@blueprint.put("/status")
@blueprint.doc(**document.STATUS)
def set_status() -> ResponseReturnValue:
    """Go online, offline, busy, or into maintenance."""
    body = json_body()
    status = reading.member(body, "status", str, 20)
    if status not in PROVIDER_STATUSES:
        raise InvalidInput(f"status must be one of {', '.join(PROVIDER_STATUSES)}")
    with unit_of_work() as session:
        provider = _provider(session, body)
        check_signature(session, provider, f"status:{body['providerId']}:{status}", body)
        provider.status, provider.last_seen_at = status, clock.now()
    return bodies.success({"providerId": str(provider.id), "status": status, "message": "Status updated"})


@blueprint.put("/pricing")
@blueprint.doc(**document.PRICING)
def set_pricing() -> ResponseReturnValue:
    """New prices; the signature is over the pricing member's text as it was sent."""
    body = json_body()
    tariff = reading.tariff(reading.member(body, "pricing", dict))
    raw = reading.raw_member(request.get_data(as_text=True), "pricing")
    with unit_of_work() as session:
        provider = _provider(session, body)
        check_signature(session, provider, f"pricing:{body['providerId']}:{raw}", body)
        nodes.set_tariff(provider, tariff)
        shown = bodies.pricing(provider)
    return bodies.success({"providerId": str(provider.id), "pricing": shown, "message": "Pricing updated"})


@blueprint.post("/job/<job_id>/complete")
@blueprint.doc(**document.COMPLETE)
@idempotent
def complete(job_id: str) -> ResponseReturnValue:
    """A provider's own software delivers: the picture, or a zip of the frames."""
    upload = request.files.get("result")
    if upload is None:
        raise InvalidInput("send the picture (or a zip of the frames) as the multipart field `result`")
    seconds = request.form.get("renderTime", "")
    with unit_of_work() as session:
        provider, found = _own_job(session, request.form, job_id)
        check_signature(session, provider, f"complete:{job_id}:{seconds}", request.form)
        provider.last_seen_at = clock.now()
    settings = hub().settings
    provider_results.deliver(
        hub().database, hub().store, found, upload.stream, _seconds(seconds), settings
    )
    return bodies.success({"jobId": str(found), "status": "completed", "message": "Result accepted"})


def _own_job(session: Session, body: Any, job_id: str) -> tuple[Provider, uuid.UUID]:
    provider = _provider(session, body)
    job = jobs.get(session, reading.identifier(job_id, "Job not found"))
    if job.provider_id != provider.id or job.dialect != "rayment":
        raise NotFound("Job not found")
    return provider, job.id


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise InvalidInput("renderTime must be a number of seconds") from None
    if not 0 <= seconds <= 10**7:
        raise InvalidInput("renderTime must be between 0 and 10000000 seconds")
    return seconds


@blueprint.post("/job/<job_id>/failed")
@blueprint.doc(**document.FAILED)
@idempotent
def failed(job_id: str) -> ResponseReturnValue:
    """A provider's own software gave up. Signed it counts at once; unsigned it is noted, and counts after silence."""
    body = json_body()
    error = reading.member(body, "error", str, hub().settings.max_json_bytes)  # kept shorter: the job shows its beginning
    with unit_of_work() as session:
        provider, found = _own_job(session, body, job_id)
        if body.get("signature"):
            check_signature(session, provider, f"failed:{job_id}", body)
            provider_outcomes.fail_paid_job(session, found, "PROVIDER_FAILED", error)
            return bodies.success({"jobId": str(found), "status": "failed", "message": "Failure recorded"})
        provider_outcomes.note_failure(session, found, error)
    return bodies.success({"jobId": str(found), "status": "noted", "message": "Noted; sign failed:{jobId} to end it now"})
