"""Rayment hub: what a client calls."""

import uuid

from flask import Response, request
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint

from app import __version__
from app.adapters.storage.port import ObjectStore
from app.api import security, x402_payments
from app.api.context import hub, json_body, read_only, unit_of_work
from app.api.downloads import send_object
from app.api.idempotency import NOT_OVER, idempotent
from app.api.rayment import bodies, document, reading
from app.api.x402_payments import Brought
from app.core import jobs, nodes, payments, queries, render_frames, render_units
from app.db import Session
from app.errors import Conflict, InvalidInput, LightyardError, NotFound
from app.flows import payments as payment_flows
from app.flows import submission
from app.formats import bundle
from app.models.jobs import Job, WorkUnit
from app.models.nodes import PROVIDER_STATUSES
from app.values import signatures
from app.values.states import UnitState

blueprint = Blueprint("rayment", __name__, description="Pay-per-render on Solana")
MEMO_PREFIX = "rayment:"
NOT_FINAL = "Payment not finalized yet; it confirms by itself, watch GET /render/:jobId"
PAGE_LIMIT = 1000
CONTENT_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "EXR": "image/x-exr", "JSON": "application/json",
                 "BYTES": "application/octet-stream"}
EXTENSIONS = {"PNG": ".png", "JPEG": ".jpg", "EXR": ".exr", "JSON": ".json", "BYTES": ".bin"}


@blueprint.get("/health")
@blueprint.doc(**document.HEALTH)
def health() -> ResponseReturnValue:
    """Liveness."""
    return bodies.answer({"status": "ok", "service": "rayment-hub", "version": __version__})


@blueprint.get("/stats")
@blueprint.doc(**document.STATS)
def stats() -> ResponseReturnValue:
    """The hub in figures."""
    with unit_of_work() as session:
        figures = queries.hub_statistics(session, "rayment")
    return bodies.success(
        {
            "totalProviders": figures["providers"],
            "onlineProviders": figures["online"],
            "totalJobs": figures["jobs"],
            "completedJobs": figures["completed"],
            "totalVolumeSOL": bodies.number(figures["volume"]),
            "avgRenderTime": figures["render_seconds"],
        }
    )


@blueprint.get("/providers")
@blueprint.doc(**document.PROVIDERS)
def list_providers() -> ResponseReturnValue:
    """Providers, optionally by status."""
    status = request.args.get("status")
    if status is not None and status not in PROVIDER_STATUSES:
        raise InvalidInput(f"status must be one of {', '.join(PROVIDER_STATUSES)}")
    limit = reading.count(request.args.get("limit"), "limit", 1, PAGE_LIMIT, PAGE_LIMIT)
    offset = reading.count(request.args.get("offset"), "offset", 0, 10**9, 0)
    with unit_of_work() as session:
        rows = [bodies.provider_body(item) for item in queries.providers(session, status, limit, offset)]
        total = queries.count_providers(session, status)
    return bodies.success({"providers": rows, "total": total})


@blueprint.get("/providers/<provider_id>")
@blueprint.doc(**document.PROVIDER)
def get_provider(provider_id: str) -> ResponseReturnValue:
    """One provider."""
    with unit_of_work() as session:
        found = nodes.get_provider(session, reading.identifier(provider_id, "Provider not found"))
        return bodies.success(bodies.provider_body(found))


@blueprint.post("/render")
@blueprint.doc(**document.SUBMIT)
@idempotent
def submit() -> ResponseReturnValue:
    """Quote a render: the answer is 402 with the price, where to pay it, and the memo to pay it with. A client of x402 sends the
    same form again with its payment, which pays what was quoted before."""
    brought = x402_payments.brought()
    if brought is not None:
        return _paid_with(brought)
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        raise InvalidInput("send the scene as the multipart field `file`, with its name")
    wallet = request.form.get("clientWallet", "")
    if not signatures.is_solana_address(wallet):
        raise InvalidInput("clientWallet must be a Solana address")
    settings, frames = reading.render_settings(_settings_text(), hub().settings)
    preferred = request.form.get("providerId")
    wanted = submission.Submission(
        dialect="rayment",
        client_wallet=wallet,
        provider_id=reading.identifier(preferred, "Provider not found") if preferred else None,
        settings=settings,
        frames=frames,
        memo_prefix=MEMO_PREFIX,
    )
    file = submission.Upload(upload.stream, upload.filename)
    job, payment, scene = submission.submit(
        hub().database, hub().store, hub().signals, hub().settings, file, wanted
    )
    with read_only() as session:
        x402_payments.require(session, payment, "A render")
    return bodies.answer(bodies.quote_body(job, payment, scene), 402)


def _paid_with(brought: Brought) -> ResponseReturnValue:
    """A render that was quoted before is paid by x402, to its provider."""
    with unit_of_work() as session:
        payment = x402_payments.payment_of(session, brought)
        if payment is None or payment.job_id is None or jobs.get(session, payment.job_id).dialect != "rayment":
            raise NotFound("No quote of this hub asks for this payment: send the form without PAYMENT-SIGNATURE first")
        job_id, settlement_id = payment.job_id, x402_payments.begin(session, payment, brought, "A render")
    booked_id = x402_payments.wait(settlement_id)
    if booked_id is not None:
        return _payment_answer(job_id, booked_id)
    with unit_of_work() as session:
        job = jobs.get(session, job_id)
        word = bodies.status_word(job.state, job.payment_state, job.started_at is not None)
    return bodies.answer({"success": True, "data": {"jobId": str(job_id), "status": word, "message": NOT_FINAL}}, NOT_OVER)


def _settings_text() -> str | bytes | None:
    """The form's settings; a client that sends them as a JSON blob sends a file, as browsers do."""
    blob = request.files.get("settings")
    return request.form.get("settings") if blob is None else blob.stream.read(hub().settings.max_json_bytes)


@blueprint.post("/render/pay")
@blueprint.doc(**document.PAY)
@idempotent
def pay() -> ResponseReturnValue:
    """Show the transaction that pays a job; refused ones are noted with the reason."""
    body = json_body()
    job_id = reading.identifier(reading.member(body, "jobId", str), "Job not found")
    signature = reading.member(body, "txSignature", str, 128)
    if not signatures.is_transaction_signature(signature):
        raise InvalidInput("txSignature must be a Solana transaction signature (base58, 64 bytes)")
    with unit_of_work() as session:
        payment = payments.of_job(session, _own_job(session, job_id).id)
        if payment is None:
            raise NotFound("Job not found")
        shown_id = payments.present(session, payment, signature).id
    try:
        payment_flows.verify(hub().database, hub().chain, shown_id)
    except LightyardError as error:
        if not error.retryable:
            raise
    return _payment_answer(job_id, shown_id)


def _payment_answer(job_id: uuid.UUID, shown_id: uuid.UUID) -> Response:
    with unit_of_work() as session:
        job = jobs.get(session, job_id)
        shown = payments.get_shown(session, shown_id)
        word = bodies.status_word(job.state, job.payment_state, job.started_at is not None)
    if shown.code == payments.TRANSACTION_USED:
        raise Conflict(shown.message or "this transaction was used before", code=shown.code)
    if shown.state in ("refused", "refundable"):
        raise InvalidInput(shown.message or "this transaction does not pay the job", code=shown.code)
    message = "Payment confirmed, render queued"
    if shown.state == "pending":
        message = NOT_FINAL
    return bodies.success({"jobId": str(job_id), "status": word, "message": message})


def _readable_job(session: Session, job_id: uuid.UUID) -> Job:
    """A job born here; any other is unknown here without its owner's (or an operator's) token."""
    job = jobs.get(session, job_id)
    if job.dialect == "rayment":
        return job
    caller = security.optional_caller(session, "jobs:read")
    if caller is None or not (caller.is_operator or caller.account_id == job.account_id):
        raise NotFound("Job not found")
    return job


def _own_job(session: Session, job_id: uuid.UUID) -> Job:
    """A job that may be changed here: one that was born here."""
    job = _readable_job(session, job_id)
    if job.dialect != "rayment":
        raise Conflict(f"this job is {job.dialect}'s; change it there", code="OTHER_DIALECT")
    return job


@blueprint.get("/render/<job_id>")
@blueprint.doc(**document.JOB)
def get_job(job_id: str) -> ResponseReturnValue:
    """A job's state, its payment's, and what is owed back."""
    with read_only() as session:
        job = _readable_job(session, reading.identifier(job_id, "Job not found"))
        payment = payments.of_job(session, job.id)
        shown = payments.shown_for(session, payment.id) if payment else []
        refunds = payments.refunds_of(session, job.id)
        progress = queries.progress_of(session, job.id)
        return bodies.success(bodies.job_body(job, jobs.find_scene(session, job), payment, shown, refunds, progress))


@blueprint.get("/render/<job_id>/result")
@blueprint.doc(**document.RESULT)
def result(job_id: str) -> ResponseReturnValue:
    """The picture; several frames as a zip, each alone by ?frame=N."""
    with unit_of_work() as session:
        job = _readable_job(session, reading.identifier(job_id, "Job not found"))
        kind = job.settings.get("output_format")
        if kind not in EXTENSIONS:
            raise NotFound(f"what this job makes is given out by {job.dialect}'s API")
        done = [unit for unit in jobs.units_of(session, job.id) if _is_whole(unit)]
        wanted = _wanted_frame(job)
        render_frames.assert_job_paid(session, job)
    if wanted is not None or 1 in (job.units_total, len(job.settings["frame_list"])):
        unit = next((item for item in done if wanted is None or item.frame == wanted), None)
        if unit is None:
            raise NotFound("this frame is not rendered (yet)")
        return _picture(hub().store, unit, kind)
    if not jobs.is_over(job) or not done:
        raise NotFound("the render is not finished; finished frames are there as ?frame=N")
    return _bundle(hub().store, done, kind, f"render-{job.id}.zip")


def _is_whole(unit: WorkUnit) -> bool:
    """Whether it is finished and a result by itself: neither a part of a picture nor the video of all pictures."""
    return unit.state == UnitState.COMPLETED and unit.tile is None and unit.kind != render_units.JOIN_KIND


def _wanted_frame(job: Job) -> int | None:
    text = request.args.get("frame")
    if text is None:
        return None
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit() or len(text) > 8:
        raise InvalidInput("frame must be a whole number")
    if int(text) not in job.settings["frame_list"]:
        raise NotFound("this job has no such frame")
    return int(text)


def _picture(store: ObjectStore, unit: WorkUnit, kind: str) -> Response:
    name = bundle.frame_name(unit.frame or 0, EXTENSIONS[kind])
    file = store.open(unit.result_key or "")
    return send_object(file, unit.result_bytes or 0, CONTENT_TYPES[kind], name, unit.result_sha256)


def _bundle(store: ObjectStore, done: list[WorkUnit], kind: str, name: str) -> Response:
    entries = [
        bundle.BundleEntry(
            bundle.frame_name(unit.frame or 0, EXTENSIONS[kind]),
            unit.result_bytes or 0,
            lambda key=unit.result_key or "": store.open(key),  # type: ignore[misc]
        )
        for unit in done
    ]
    size_bytes, chunks = bundle.stream_bundle(entries)
    response = Response(chunks, mimetype="application/zip")
    response.content_length = size_bytes
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


