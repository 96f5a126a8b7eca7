"""The node protocol: register, prove, heartbeat, claim, report, end."""

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from flask import jsonify
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint

from app.adapters.storage.port import URL_MOST_SECONDS
from app.api import broker, idempotency, security
from app.api.context import hub, one_by_one, read_only, unit_of_work
from app.api.dialect import BadRequestParser
from app.api.node import schemas
from app.core import accounts, claims, expected_results, jobs, nodes, outcomes, render_films, render_units, task_logs, tasks
from app.core.claims import Claim, ClaimedJob
from app.core.task_ends import exit_of
from app.core.task_logs import Line, Told
from app.db import Session
from app.errors import Forbidden, Unauthenticated
from app.failpoints import failpoint
from app.flows import results
from app.models.nodes import Provider
from app.values import clock, node_keys, signatures
from app.values.capabilities import PROMPTED

blueprint = Blueprint("node", __name__, url_prefix="/node/v1", description="How GPU hosts talk to the hub")
blueprint.ARGUMENTS_PARSER = BadRequestParser()
PICTURE_SETTINGS = ("width", "height", "samples", "engine", "output_format", "camera")
SPECIAL_SETTINGS = ("denoise", "adaptive_sampling", "color_mode", "color_depth", "video")  # where they were asked for
INPUTS_AT_ONCE = 500
SEEDS = 2**31
TASK_SETTINGS = (
    "docker_image", "command", "environment", "has_network", "cpu_cores", "gpu_count", "gpu_memory_gb", "ram_gb", "storage_gb",
    "timeout_seconds",
)  # fmt: skip


def limits() -> tuple[int, int]:
    return hub().settings.max_failures, hub().settings.max_attempts


@blueprint.post("/nodes")
@blueprint.arguments(schemas.RegistrationSchema)
@blueprint.response(201)
def register(body: dict[str, Any]) -> ResponseReturnValue:
    """Register a node, or find it again by its key."""
    key = node_keys.read(body["public_key"])
    node = {**body, "public_key": key}
    with unit_of_work() as session:
        provider, is_trusted = _enrolment(session, body, key)
        made = nodes.register(session, node, provider, is_trusted, hub().settings.node_proof_required)
    return {
        "node_id": str(made.node_id),
        "status": "REGISTERED",
        "challenge": made.challenge,
        "token": security.make_node_token(made.token_id),
        "expires_at": (clock.now() + timedelta(hours=nodes.TOKEN_HOURS)).isoformat(),
        "heartbeat_seconds": hub().settings.heartbeat_seconds,
        "queues": broker.queues(made, body["capabilities"]),
        **broker.registered(made, provider, is_trusted, body["capabilities"]),
    }, 201


def _enrolment(session: Session, body: Mapping[str, Any], key: str) -> tuple[Provider | None, bool]:
    """Who vouches for this node: (its provider, whether the operator trusts it)."""
    voucher = security.voucher(session, body["provider_id"], is_enrolment=True)
    if body["enrolment"] is None or security.bearer():
        return voucher.provider, voucher.is_operators
    return _signed_enrolment(session, body["enrolment"], key), False


def _signed_enrolment(session: Session, enrolment: Mapping[str, Any], key: str) -> Provider:
    provider = nodes.get_provider(session, enrolment["provider_id"])
    window = hub().settings.signature_window_seconds
    if abs(time.time() - enrolment["timestamp"]) > window:
        raise Unauthenticated(f"the enrolment's timestamp is more than {window} s off; sign a new one")
    message = f"enrol:{provider.id}:{node_keys.fingerprint(key)}:{enrolment['timestamp']}"
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
        node = security.calling_node(session)
        nodes.prove(session, node, body["signature"])
        node = security.calling_node(session)
    answer = {"node_id": str(node.id), "status": nodes.status(node, hub().settings.node_unhealthy_seconds)}
    return answer | broker.proven(node) if body["wants_broker"] else answer


@blueprint.post("/heartbeat")
@blueprint.arguments(schemas.HeartbeatSchema)
@blueprint.response(200)
def heartbeat(body: dict[str, Any]) -> ResponseReturnValue:
    """A sign of life; answers which of the node's attempts are dead."""
    with unit_of_work() as session:
        node = security.calling_node(session)
        status = nodes.heartbeat(session, node, body, hub().settings.node_proof_required)
        live = jobs.live_among(session, node.id, body["attempts"]) if body["attempts"] else set()
        dead = [str(attempt) for attempt in body["attempts"] if attempt not in live]
        return {"node_id": str(node.id), "status": status, "acknowledged": True, "dead_attempts": dead}


@blueprint.post("/claims")
@blueprint.arguments(schemas.ClaimSchema)
@blueprint.response(200)
def claim(body: dict[str, Any]) -> ResponseReturnValue:
    """Hand out the best fitting units."""
    settings = hub().settings
    with one_by_one() as session:  # signing in only reads, and a claim is one statement
        node = security.calling_node(session)
        nodes.assert_may_work(node, settings.node_proof_required, settings.open_nodes)
        if nodes.status(node, settings.node_unhealthy_seconds) != "HEALTHY":
            return {"jobs": {}, "attempts": []}
        ask = {**body, "limit": nodes.units_at_once(node, body["limit"])}
        silence_seconds = settings.node_unhealthy_seconds
        found = claims.claim(
            session,
            node,
            ask,
            settings.lease_seconds,
            silence_seconds,
            settings.open_nodes,
            hub().task_rules,
            settings.render_second_try_seconds,
        )
    if found:
        failpoint("claim.committed")
    return describe(found)


def describe(found: list[Claim]) -> dict[str, Any]:
    """Claims as they are handed out, here and on the relay."""
    described = {str(item.job.id): _describe(item) for item in {item.job.id: item for item in found}.values()}
    return {"jobs": described, "attempts": [_attempt(item) for item in found]}


def _describe(item: Claim) -> dict[str, Any]:
    """What all attempts of a job share: settings, the scene's URL or a run's payload, limits."""
    settings, job = hub().settings, item.job
    if item.kind == tasks.UNIT_KIND:
        return _describe_task(job)
    return {
        "job_id": str(job.id),
        "request_id": job.request_id,
        "traceparent": job.traceparent,
        "kind": job.kind,
        "settings": _of_prompt(job) if job.kind in PROMPTED else _of_picture(job),
        "inputs": [] if job.storage_key is None else [_scene(job, job.storage_key)],
        "limits": {
            "max_seconds": min(job.settings.get("max_seconds", settings.unit_max_seconds), settings.unit_max_seconds),
            "max_memory_bytes": settings.unit_max_memory_bytes,
            "max_output_bytes": _most_bytes(item),
            "max_pixels": settings.max_pixels,
        },
    } | ({"payload": _payload(job)} if "payload_ref" in job.settings else {})


def _of_picture(job: ClaimedJob) -> dict[str, Any]:
    return {key: job.settings.get(key) for key in PICTURE_SETTINGS} | {
        key: job.settings[key] for key in SPECIAL_SETTINGS if key in job.settings
    }


def _of_prompt(job: ClaimedJob) -> dict[str, Any]:
    """What is to be made of a prompt. The seed is the job's, so that whoever tries a frame again makes the same picture."""
    said = {name: job.settings.get(name) for name in ("prompt", "width", "height", "quality", "output_format", "video")}
    return {**said, "seed": job.id.int % SEEDS}


def _describe_task(job: ClaimedJob) -> dict[str, Any]:
    """A compute task: what its container is, and what it may use."""
    settings, asked = hub().settings, job.settings
    return {
        "job_id": str(job.id),
        "request_id": job.request_id,
        "traceparent": job.traceparent,
        "kind": job.kind,
        "settings": {name: asked[name] for name in TASK_SETTINGS},
        "inputs": [],
        "limits": {
            "max_seconds": asked["timeout_seconds"],
            "max_memory_bytes": int(asked["ram_gb"] * 10**9),
            "max_output_bytes": settings.max_task_result_bytes,
            "max_pixels": settings.max_pixels,
        },
    }


def _most_bytes(item: Claim) -> int:
    """What the result of a unit may have."""
    settings = hub().settings
    known = {"run": settings.max_run_result_bytes, tasks.UNIT_KIND: settings.max_task_result_bytes}
    known |= {render_units.JOIN_KIND: settings.max_video_bytes}
    return known.get(item.kind, settings.max_result_bytes)


def _payload(job: ClaimedJob) -> dict[str, Any]:
    """A run's input: the hub signs for what lies in its own store, and passes on the reference to anything else."""
    key, url = job.settings.get("payload_key"), None
    if key is not None:
        url = hub().store.signed_url("GET", key, hub().settings.file_url_seconds, now=clock.now())
    known = {name: job.settings.get(f"payload_{name}") for name in ("size_bytes", "sha256")}
    return {"ref": job.settings.get("payload_ref", ""), "url": url, **known}


def _scene(job: ClaimedJob, storage_key: str) -> dict[str, Any]:
    url = hub().store.signed_url("GET", storage_key, hub().settings.file_url_seconds, now=clock.now())
    return {
        "name": job.file_name,
        "format": job.format,
        "sha256": job.sha256,
        "size_bytes": job.size_bytes,
        "url": url,
    }


def _attempt(item: Claim) -> dict[str, Any]:
    settings = hub().settings
    return {
        "attempt_id": str(item.attempt_id),
        "fence": item.fence,
        "unit_id": str(item.unit_id),
        "job_id": str(item.job.id),
        "kind": item.kind,
        "frame": item.frame,
        **({"tile": item.tile} if item.tile is not None else {}),
        "lease_seconds": settings.lease_seconds,
        "lease_until": (clock.now() + timedelta(seconds=settings.lease_seconds)).isoformat(),
        "upload": None if item.kind == "inspection" else _upload(item),
    }


def _upload(item: Claim) -> dict[str, Any]:
    """Where an attempt's result goes: signed for this key, method and size."""
    now, key, seconds = clock.now(), item.upload_key, hub().settings.file_url_seconds
    if item.kind == tasks.UNIT_KIND:  # nothing is uploaded before it ends
        seconds = min(seconds + hub().settings.task_pull_seconds + item.job.settings["timeout_seconds"], URL_MOST_SECONDS)
    url = hub().store.signed_url("PUT", key, seconds, now=now, max_bytes=_most_bytes(item))
    expires_at = (now + timedelta(seconds=seconds)).isoformat()
    return {"method": "PUT", "url": url, "headers": {}, "expires_at": expires_at}


@blueprint.post("/progress")
@blueprint.arguments(schemas.ReportsSchema)
@blueprint.response(200)
def progress(body: dict[str, Any]) -> ResponseReturnValue:
    """Renew the leases of attempts that are still live."""
    reports = [(item["attempt_id"], item["fence"], item["progress"]) for item in body["reports"]]
    with unit_of_work() as session:
        node = security.calling_node(session)
        seconds = {item["attempt_id"]: item["seconds"] for item in body["reports"]}
        live = jobs.renew(session, node.id, reports, hub().settings.lease_seconds, seconds)
    until = (clock.now() + timedelta(seconds=hub().settings.lease_seconds)).isoformat()
    return {
        "reports": [
            {"attempt_id": str(item[0]), "live": item[0] in live, "lease_until": until if item[0] in live else None}
            for item in reports
        ]
    }


@blueprint.post("/logs")
@blueprint.arguments(schemas.LogsSchema)
@blueprint.response(200)
def log(body: dict[str, Any]) -> ResponseReturnValue:
    """Keep what a task's container writes and uses; telling it again is harmless."""
    lines = [Line(item["message"], item["level"], item["timestamp"], item["number"]) for item in body["lines"]]
    told = Told(lines, body["metrics"], body["sampled_at"])
    with unit_of_work() as session:
        node = security.calling_node(session)
        taken = task_logs.take(session, node.id, body["attempt_id"], body["fence"], told, hub().log_limits)
    return {"attempt_id": str(body["attempt_id"]), "live": taken.is_live, "next": taken.next_number}


@blueprint.post("/inputs")
@blueprint.arguments(schemas.InputsSchema)
@blueprint.response(200)
def list_inputs(body: dict[str, Any]) -> ResponseReturnValue:
    """The frames that an attempt joins, page by page, each with an address of its own."""
    with read_only() as session:
        node = security.calling_node(session)
        found = render_films.inputs(session, node.id, body["attempt_id"], body["fence"], body["after"], INPUTS_AT_ONCE)
    now, seconds = clock.now(), hub().settings.file_url_seconds
    listed = [
        {
            "frame": item.frame,
            "sha256": item.sha256,
            "size_bytes": item.size_bytes,
            "url": hub().store.signed_url("GET", item.key, seconds, now=now),
        }
        for item in found
    ]
    return {"inputs": listed, "next": found[-1].frame if len(found) == INPUTS_AT_ONCE else None}


@blueprint.post("/results")
@blueprint.doc(parameters=[idempotency.PARAMETER])
@idempotency.idempotent_for_nodes
@blueprint.arguments(schemas.ResultsSchema)
@blueprint.response(200)
def finish(body: dict[str, Any]) -> ResponseReturnValue:
    """Check uploaded bytes and book them; each item is judged alone."""
    looked_at = [item for item in body["results"] if "report" in item]
    announced = [results.Announced(**item) for item in body["results"] if "report" not in item]
    with read_only() as session:
        node = security.calling_node(session)
        fences = {item["attempt_id"]: item["fence"] for item in body["results"]}
        wanted = expected_results.find(session, node.id, fences)
    judged: list[results.Judged] = []
    if announced:
        judged += results.accept(hub().database, hub().store, announced, wanted, hub().result_rules)
    if looked_at:
        judged += results.accept_reports(hub().database, looked_at)
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
@blueprint.doc(parameters=[idempotency.PARAMETER])
@idempotency.idempotent_for_nodes
@blueprint.arguments(schemas.FailuresSchema)
@blueprint.response(200)
def fail(body: dict[str, Any]) -> ResponseReturnValue:
    """A node could not do it: others try, and after too many failures the job ends."""
    answers = []
    with unit_of_work() as session:
        node = security.calling_node(session)
        attempts = [item["attempt_id"] for item in body["failures"]]
        _assert_own(session, node.id, attempts)
        outcomes.lock_jobs(session, attempts)
        for item in sorted(body["failures"], key=lambda item: item["attempt_id"]):
            exited = exit_of(item["exit_code"], item["seconds"])
            state = outcomes.fail(session, item["attempt_id"], item["fence"], item["code"], item["message"], limits(), exited)
            answers.append({"attempt_id": str(item["attempt_id"]), "accepted": state is not None, "unit_state": state})
    return {"failures": answers}


@blueprint.post("/releases")
@blueprint.arguments(schemas.ReleasesSchema)
@blueprint.response(200)
def release(body: dict[str, Any]) -> ResponseReturnValue:
    """Give units back unharmed."""
    with unit_of_work() as session:
        node = security.calling_node(session)
        _assert_own(session, node.id, [item["attempt_id"] for item in body["attempts"]])
        pairs = sorted((item["attempt_id"], item["fence"]) for item in body["attempts"])
        outcomes.lock_jobs(session, [attempt for attempt, _ in pairs])
        return {"released": sum(outcomes.release(session, attempt, fence) for attempt, fence in pairs)}
