"""Inspections: a node opens a scene before anybody renders it, and its report warns the client.

An inspection is a unit of the job whose scene it is, but never counts as a frame: it cannot fail the job, and it is free. A scene
that an account brings before it orders anything is looked at for the hub: in a job of nobody's that has no other unit.
"""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import outbox
from app.core import doorbells
from app.models.account_scenes import AccountScene
from app.models.jobs import Job, Scene, WorkUnit
from app.values import clock
from app.values.states import HELD, JobState, PaymentState, SceneState, UnitState, advance

KIND = "inspection"
ORDINAL = -1  # before every frame
WAITING_AT_MOST = 8  # per provider: quotes cost nothing, so they must not fill its nodes with inspections
STALE_SECONDS = 600
HUB, CAPABILITY = "hub", "render"  # of the jobs that are nobody's
# Looking is free, so it gets a share of the nodes and no more, whoever sends how many scenes: so many are out at once.
OUT_AT_MOST = 4
HELD_SECONDS = 1800  # and for so long each, whatever a node says of its progress
OPINIONS = 2  # so many nodes must call a scene broken, where more than one is there: else one bad node would keep it out
SCENE_FAULTS = frozenset({"SCENE_UNREADABLE", "SCENE_TOO_NEW", "NO_CAMERA", "NO_SUCH_FRAME"})
HOPELESS = frozenset({"SCENE_UNREADABLE", "SCENE_TOO_NEW"})
TEXT_LIMIT, LIST_LIMIT = 300, 100
# States are written out: else no plan that is kept could use the index of inspections. What nodes have is parked no more.
_OUT = text("""
SELECT count(*) FROM work_units WHERE kind = 'inspection' AND provider_id IS NULL
    AND state IN ('queued', 'assigned', 'rendering', 'uploaded') AND NOT is_parked
""")
# Accounts take turns: whoever has one out waits behind those who have none.
_FEED = text("""
UPDATE work_units SET is_parked = false, queued_at = :now, rung_at = :now WHERE id IN (
    SELECT u.id FROM work_units u JOIN (
        SELECT w.id, w.queued_at, row_number() OVER (PARTITION BY s.account_id ORDER BY w.is_parked, w.queued_at, w.id) AS turn
        FROM work_units w JOIN jobs j ON j.id = w.job_id JOIN scenes s ON s.id = j.scene_id
        WHERE w.kind = 'inspection' AND w.provider_id IS NULL AND w.state IN ('queued', 'assigned', 'rendering', 'uploaded')
        ) waiting ON waiting.id = u.id
    WHERE u.state = 'queued' AND u.is_parked
    ORDER BY waiting.turn, waiting.queued_at LIMIT :room FOR UPDATE OF u SKIP LOCKED)
RETURNING id
""")


def signal_key(job_id: uuid.UUID) -> str:
    """What a quote waits for while its scene is looked at."""
    return f"inspected:{job_id}"


def order(session: Session, job: Job, scene: Scene) -> bool:
    """Have the scene looked at; True if an idle node was rung, so that a short wait is worth it.

    Bytes that this provider's nodes looked at before are not looked at again. What another provider's node said, or a node that
    could not open them, does not count: either would keep a good scene out for ever.
    """
    query = select(Scene.report).join(Job, Job.scene_id == Scene.id)
    query = query.where(Scene.sha256 == scene.sha256, Job.provider_id == job.provider_id, ~Scene.report.has_key("error"))
    known = session.scalar(query.limit(1))
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


def order_alone(session: Session, scene: Scene) -> uuid.UUID:
    """Have a scene looked at that no job is ordered with, by any node that renders; returns the job that stands for it.

    It waits for its turn (`feed`). Whatever comes of it ends in `note`.
    """
    now = clock.now()
    job = Job(
        id=uuid.uuid4(),
        dialect=HUB,
        kind=CAPABILITY,
        name="inspection",
        scene_id=scene.id,
        state=JobState.OPEN,
        payment_state=PaymentState.NONE,
        settings={"frame_list": []},
        breakdown={"total": "0"},
        asset="RENDER",
        units_total=0,
    )
    session.add(job)
    session.flush()
    unit = WorkUnit(
        id=uuid.uuid4(),
        job_id=job.id,
        ordinal=ORDINAL,
        kind=KIND,
        capability=CAPABILITY,
        state=UnitState.QUEUED,
        is_parked=True,
        queued_at=now,
    )
    session.add(unit)
    session.flush()
    feed(session)
    return job.id


def feed(session: Session) -> int:
    """Hand out what waits for its turn, as far as there is room; returns how many. Two at once may hand out a few too many."""
    out = session.scalar(_OUT) or 0
    if out >= OUT_AT_MOST:
        return 0
    fed = list(session.scalars(_FEED, {"now": clock.now(), "room": OUT_AT_MOST - out}))
    if fed:
        doorbells.ring(session, CAPABILITY, None, fed)
    return len(fed)


def note(session: Session, unit: WorkUnit, report: Mapping[str, Any]) -> None:
    """Keep what a node said of the unit's scene, and tell a quote that waits for it. The unit, which is over, and its job are
    locked."""
    session.flush()
    job = session.get_one(Job, unit.job_id)
    session.execute(update(Scene).where(Scene.id == job.scene_id).values(report=tidy(report)))
    outbox.signal(session, signal_key(unit.job_id))
    if job.dialect == HUB:
        _conclude(session, job, report)
        feed(session)


def _conclude(session: Session, job: Job, report: Mapping[str, Any]) -> None:
    """A node has looked at an account's scene, or none could: the scene is ready or rejected, and the hub's job is over."""
    error = report.get("error")
    job.state = advance(JobState(job.state), JobState.FAILED if error else JobState.COMPLETED)
    job.ended_at = clock.now()
    query = select(AccountScene).where(AccountScene.id == job.scene_id).with_for_update()
    own = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if own is None or own.state != SceneState.INSPECTING:
        return
    own.state = advance(SceneState(own.state), SceneState.REJECTED if error else SceneState.READY)
    if error:
        own.error_code, own.error_message = _verdict(error["code"], error["message"])


def _verdict(code: str, message: str) -> tuple[str, str]:
    """(code, message) for whoever sent a scene that could not be looked at."""
    if code in HOPELESS:
        return code, f"Blender cannot open this file: {message}"[:2000]
    return "INSPECTION_FAILED", f"no node could look at this scene ({code}: {message}); make it lighter, or send it again"[:2000]


def needs_opinion(unit: WorkUnit, code: str) -> bool:
    """Whether another node is to say, too, that the scene itself is broken."""
    return unit.provider_id is None and code in SCENE_FAULTS and unit.failures < OPINIONS


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


def refusal_of(scene: Scene, camera: str | None) -> tuple[str, str] | None:
    """(code, message) when no frame of this scene can ever be rendered with the asked camera (None: the scene's own).

    None when it may, or nobody has looked yet.
    """
    report = scene.report or {}
    error = report.get("error") or {}
    if error.get("code") in HOPELESS:
        return error["code"], f"Blender cannot open this file: {error['message']}"
    cameras = report.get("cameras")
    if camera is not None and isinstance(cameras, list):
        if camera in cameras or len(cameras) >= LIST_LIMIT:
            return None
        named = f"its cameras are {', '.join(map(str, cameras[:20]))}" if cameras else "it has none"
        return "NO_CAMERA", f"the scene has no camera named {camera!r}; {named}"
    if "active_camera" in report and report["active_camera"] is None:
        return "NO_CAMERA", "the scene has no active camera; make one the scene's camera in Blender, and upload it again"
    return None


def drop_stale(session: Session) -> int:
    """Take back inspections that nobody came for: the quote has been answered without them. An account's own scene has none, and
    waits on. Returns how many."""
    old = clock.now() - timedelta(seconds=STALE_SECONDS)
    of_quotes = (WorkUnit.kind == KIND, WorkUnit.provider_id.is_not(None), WorkUnit.state == UnitState.QUEUED)
    statement = update(WorkUnit).where(*of_quotes, WorkUnit.queued_at < old)
    return len(session.execute(statement.values(state=UnitState.CANCELLED).returning(WorkUnit.id)).all())
