"""Inspections: a node opens a scene before anybody renders it, and its report warns the client.

An inspection is a unit of the job whose scene it is, but never counts as a frame: it cannot fail the job, and it is free.
"""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import outbox
from app.core import doorbells
from app.models.jobs import Job, Scene, WorkUnit
from app.values import clock
from app.values.states import HELD, UnitState

KIND = "inspection"
ORDINAL = -1  # before every frame
WAITING_AT_MOST = 8  # per provider: quotes cost nothing, so they must not fill its nodes with inspections
STALE_SECONDS = 600
SCENE_FAULTS = frozenset({"SCENE_UNREADABLE", "SCENE_TOO_NEW", "NO_CAMERA", "NO_SUCH_FRAME"})
HOPELESS = frozenset({"SCENE_UNREADABLE", "SCENE_TOO_NEW"})
TEXT_LIMIT, LIST_LIMIT = 300, 100


def signal_key(job_id: uuid.UUID) -> str:
    """What a quote waits for while its scene is looked at."""
    return f"inspected:{job_id}"


def order(session: Session, job: Job, scene: Scene) -> bool:
    """Have the scene looked at; True if an idle node was rung, so that a short wait is worth it.

    Bytes that this provider's nodes looked at before are not looked at again; what others say of them does not count for it.
    """
    seen = select(Scene.report).join(Job, Job.scene_id == Scene.id).where(Scene.sha256 == scene.sha256, Scene.report.is_not(None))
    known = session.scalar(seen.where(Job.provider_id == job.provider_id).limit(1))
    if known is not None:
        scene.report = known
        return False
    waiting = select(func.count()).where(
        WorkUnit.kind == KIND, WorkUnit.provider_id == job.provider_id, WorkUnit.state.in_((UnitState.QUEUED, *HELD))
    )
    if (session.scalar(waiting) or 0) >= WAITING_AT_MOST:
        return False
    now = clock.now()
    unit_id = uuid.uuid4()
    unit = {
        "id": unit_id,
        "job_id": job.id,
        "ordinal": ORDINAL,
        "kind": KIND,
        "capability": job.kind,
        "provider_id": job.provider_id,
        "priority": job.priority + 1,
        "state": UnitState.QUEUED,
        "queued_at": now,
        "rung_at": now,
    }
    session.execute(insert(WorkUnit), [unit])
    return doorbells.ring(session, job.kind, job.provider_id, [unit_id]) > 0


def note(session: Session, unit: WorkUnit, report: Mapping[str, Any]) -> None:
    """Keep what a node said of the unit's scene, and tell a quote that waits for it."""
    scene_id = select(Job.scene_id).where(Job.id == unit.job_id).scalar_subquery()
    session.execute(update(Scene).where(Scene.id == scene_id).values(report=tidy(report)))
    outbox.signal(session, signal_key(unit.job_id))


def told(report: Mapping[str, Any]) -> dict[str, Any]:
    """A node's report as it may be kept: warnings are texts, and `error` is the hub's own word for an inspection that failed."""
    warnings = report.get("warnings")
    texts = [item for item in warnings if isinstance(item, str)] if isinstance(warnings, list) else []
    return {name: item for name, item in report.items() if name != "error"} | {"warnings": texts}


def tidy(value: Any, depth: int = 0) -> Any:
    """A stranger's report cut to size: short texts, short lists, plain values, two levels."""
    if isinstance(value, str):
        return value[:TEXT_LIMIT].replace("\0", "")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth < 2:
        return {str(key)[:64]: tidy(item, depth + 1) for key, item in list(value.items())[:LIST_LIMIT]}
    if isinstance(value, list | tuple) and depth < 2:
        return [tidy(item, depth + 1) for item in value[:LIST_LIMIT]]
    return None


def warnings_of(scene: Scene) -> list[str]:
    """What a client should know before it pays, and after: from the file's header and from the inspection."""
    report = scene.report or {}
    found = [*scene.facts.get("warnings", []), *(report.get("warnings") or [])]
    if "error" in report:
        found.append(f"the scene could not be opened: {report['error'].get('message')}")
    return list(dict.fromkeys(str(item) for item in found))


def refusal_of(scene: Scene) -> tuple[str, str] | None:
    """(code, message) when no frame of this scene can ever be rendered; None when it may, or nobody has looked yet."""
    report = scene.report or {}
    error = report.get("error") or {}
    if error.get("code") in HOPELESS:
        return error["code"], f"Blender cannot open this file: {error['message']}"
    if "active_camera" in report and report["active_camera"] is None:
        return "NO_CAMERA", "the scene has no active camera; make one the scene's camera in Blender, and upload it again"
    return None


def drop_stale(session: Session) -> int:
    """Take back inspections that nobody came for: the quote has been answered without them. Returns how many."""
    old = clock.now() - timedelta(seconds=STALE_SECONDS)
    statement = update(WorkUnit).where(WorkUnit.kind == KIND, WorkUnit.state == UnitState.QUEUED, WorkUnit.queued_at < old)
    return len(session.execute(statement.values(state=UnitState.CANCELLED).returning(WorkUnit.id)).all())
