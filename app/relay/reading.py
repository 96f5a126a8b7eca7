"""The relay's messages, read strictly from nodes and written for them."""

import uuid
from collections.abc import Mapping
from typing import Any

from app.core.claims import Claim
from app.core.nodes import MACHINE_LIMIT_BYTES, METADATA_LIMIT_BYTES
from app.errors import Forbidden, InvalidInput
from app.values.json_text import read_json, size_bytes

REF_PREFIX = "s3://"
TEXT_LIMIT, LIST_LIMIT, NUMBER_LIMIT = 4000, 256, 2**53
ECHOED = ("request", "job_id", "attempt")
HEARTBEATS = ("heartbeat_ping", "heartbeat_pong")


def answer(message: Mapping[str, Any], kind: str, **facts: Any) -> dict[str, Any]:
    """An answer that says what it answers: the message's own request number, job and attempt, where they are plain ones."""
    echoed = {name: message[name] for name in ECHOED if isinstance(message.get(name), int | str)}
    return {"type": kind, **{name: value for name, value in echoed.items() if len(str(value)) <= 64}, **facts}


def result_ref(upload_key: str) -> str:
    """The name under which a node gives its result back; it belongs to one attempt."""
    return REF_PREFIX + upload_key


def dispatch(claim: Claim, attempt: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    """A unit as the seed's nodes are handed it, and under `work` as `POST /node/v1/claims` answers it."""
    payload, inputs = job.get("payload") or {}, job.get("inputs") or []
    upload = attempt.get("upload") or {}
    message = {
        "type": "job_dispatch",
        "job_id": str(claim.job.id),
        "job_type": "inspection" if claim.kind == "inspection" else claim.job.kind,
        "payload_ref": payload.get("ref") or claim.job.settings.get("payload_ref") or _scene_ref(claim),
        "attempt": str(claim.attempt_id),
        "payload_url": payload.get("url") or (inputs[0]["url"] if inputs else None),
        "upload_url": upload.get("url"),
        "result_ref": None if claim.kind == "inspection" else result_ref(claim.upload_key),
        "lease_seconds": attempt["lease_seconds"],
    }
    if claim.kind in ("frame", "video"):
        message["settings"] = {**job["settings"], "frame": claim.frame}
    return {**message, "work": {"job": job, "attempt": attempt}}


def _scene_ref(claim: Claim) -> str:
    return REF_PREFIX + (claim.job.storage_key or f"jobs/{claim.job.id}")


def read_id(message: Mapping[str, Any], name: str) -> uuid.UUID | None:
    """A UUID, or None where it is absent."""
    value = message.get(name)
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise ValueError
        return uuid.UUID(value)
    except ValueError:
        raise InvalidInput(f"{name} must be a UUID") from None


def read_ids(message: Mapping[str, Any], name: str) -> list[uuid.UUID]:
    value = message.get(name)
    if not isinstance(value, list) or len(value) > LIST_LIMIT:
        raise InvalidInput(f"{name} must be a list of at most {LIST_LIMIT} ids")
    found = [read_id({name: item}, name) for item in value]
    return [item for item in found if item is not None]


def read_share(message: Mapping[str, Any], name: str) -> float | None:
    """A number from 0 to 1, or None where it is absent."""
    value = message.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput(f"{name} must be a number from 0 to 1")
    return float(value)


def read_number(message: Mapping[str, Any], name: str, most: float = NUMBER_LIMIT) -> float | None:
    """A number from 0 to `most`, or None where it is absent."""
    value = message.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InvalidInput(f"{name} must be a number from 0 to {most:g}")
    return value


def read_whole(message: Mapping[str, Any], name: str, most: int, default: int) -> int:
    value = message.get(name, default)
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidInput(f"{name} must be a whole number from 0 to {most}")
    return value


def read_text(message: Mapping[str, Any], *names: str) -> str | None:
    """The first of these that is there, cut to what is kept."""
    for name in names:
        value = message.get(name)
        if isinstance(value, str) and value:
            return value[:TEXT_LIMIT]
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f"{name} must be text")
    return None


def heartbeat(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a heartbeat brings, as `core.nodes.heartbeat` takes it."""
    load = message.get("current_load")
    if load is not None and (isinstance(load, bool) or not isinstance(load, int | float)):
        raise InvalidInput("current_load must be a number")
    for name, most_bytes in (("machine", MACHINE_LIMIT_BYTES), ("metadata", METADATA_LIMIT_BYTES)):
        if not isinstance(message.get(name), dict | None):
            raise InvalidInput(f"{name} must be an object")
        if name in message and size_bytes(message[name]) > most_bytes:
            raise InvalidInput(f"{name} may have at most {most_bytes} bytes of JSON")
    if not isinstance(message.get("draining", False), bool):
        raise InvalidInput("draining must be true or false")
    return {
        "current_load": None if load is None else min(1.0, max(0.0, float(load))),
        "draining": message.get("draining"),
        "machine": message.get("machine"),
        "metadata": message.get("metadata"),
        "signature": read_text(message, "challenge_signature"),
        "attempts": read_ids(message, "attempts") if "attempts" in message else [],
    }


def proof(text: bytes) -> str:
    """The signature in a heartbeat of a socket that has nothing else to say yet; Forbidden for anything else."""
    message = read_json(text)
    is_heartbeat = isinstance(message, dict) and message.get("type") in HEARTBEATS
    signature = read_text(message, "challenge_signature") if is_heartbeat else None
    if signature is None:
        said = "another token of this node is proven: answer this one's challenge first, by heartbeat_ping {challenge_signature}"
        raise Forbidden(said, code="NODE_UNPROVEN")
    return signature


def ready(message: Mapping[str, Any], most_slots: int, most_at_once: int) -> dict[str, Any]:
    return {
        "slots": read_whole(message, "slots", most_slots, 1),
        "more": read_whole(message, "more", most_at_once, 0),
        "job_id": read_id(message, "job_id"),
        "attempts": read_ids(message, "attempts") if "attempts" in message else None,
    }
