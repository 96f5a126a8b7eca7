"""Handing out units: what a claim picks, locks, writes down and answers, in one statement."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from app import outbox
from app.core.nodes import CallingNode
from app.values import clock

# One statement, so that a claim is one round trip however many units it takes. A job that is being changed by somebody
# else is passed over when starts are noted, never waited for: this statement holds units already.
# A provider's own units come first: nobody else may do them. What is left is filled with units that anybody trusted may do.
# The picked ids are an array, evaluated once. Joined instead, the update of a row that a sweep changed after this statement's
# snapshot makes PostgreSQL look at the picks again, which locks and takes units beyond the limit.
_PICK = """
    SELECT u.id FROM work_units u
    WHERE u.state = 'queued' AND u.capability = :capability {of_job} AND {whose}
      AND (NOT (:node_id = ANY(u.blocked_nodes)) OR NOT EXISTS (
            SELECT 1 FROM nodes n WHERE n.id <> ALL(u.blocked_nodes) AND n.last_heartbeat_at > :alive_since
            AND NOT n.is_draining AND (n.unhealthy_until IS NULL OR n.unhealthy_until < :now)
            AND u.capability = ANY(n.capabilities)
            AND (n.provider_id = u.provider_id OR (u.provider_id IS NULL AND n.is_trusted))))
    ORDER BY u.priority DESC, u.queued_at, u.job_id, u.ordinal
    LIMIT {limit} FOR UPDATE OF u SKIP LOCKED"""
_OWN, _ANYBODYS = "u.provider_id = :provider_id", "u.provider_id IS NULL AND :is_trusted"
_CLAIM = """
WITH own AS ({own}),
anybodys AS ({anybodys}),
picked AS (SELECT id FROM own UNION ALL SELECT id FROM anybodys),
claimed AS (
    UPDATE work_units u SET state = 'assigned', fence = u.fence + 1, attempt_id = gen_random_uuid(),
        lease_until = :lease_until, progress = 0
    WHERE u.id = ANY(ARRAY(SELECT id FROM picked))
    RETURNING u.id, u.attempt_id, u.fence, u.job_id, u.kind, u.frame, u.ordinal,
        'results/' || u.job_id || '/' || u.id || '-' || u.fence AS upload_key),
noted AS (
    INSERT INTO attempts (id, unit_id, node_id, fence, state, upload_key, started_at)
    SELECT attempt_id, id, :node_id, fence, 'live', upload_key, :now FROM claimed),
begun AS (
    UPDATE jobs SET started_at = :now WHERE id IN (
        SELECT j.id FROM jobs j WHERE j.id IN (SELECT job_id FROM claimed WHERE kind <> 'inspection') AND j.started_at IS NULL
        FOR UPDATE SKIP LOCKED)
    RETURNING id)
SELECT c.id, c.attempt_id, c.fence, c.kind, c.frame, c.upload_key, begun.id IS NOT NULL, c.job_id,
    j.kind, j.settings - 'frame_list', s.file_name, s.format, s.sha256, s.size_bytes, s.storage_key
FROM claimed c JOIN jobs j ON j.id = c.job_id LEFT JOIN scenes s ON s.id = j.scene_id LEFT JOIN begun ON begun.id = c.job_id
ORDER BY c.job_id, c.ordinal
"""


@cache
def _claim_statement(limit: int, is_of_job: bool) -> TextClause:
    """The limit is written out: PostgreSQL keeps the plan of a statement whose cost does not hang on a parameter."""
    of_job = "AND u.job_id = :job_id" if is_of_job else ""
    own = _PICK.format(of_job=of_job, whose=_OWN, limit=int(limit))
    rest = f"(SELECT {int(limit)} - count(*) FROM own)"
    return text(_CLAIM.format(own=own, anybodys=_PICK.format(of_job=of_job, whose=_ANYBODYS, limit=rest)))


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """What all units of a job share; `settings` without the list of frames, the scene's fields None where there is none."""

    id: uuid.UUID
    kind: str
    settings: Mapping[str, Any]
    file_name: str | None
    format: str | None
    sha256: str | None
    size_bytes: int | None
    storage_key: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """One unit handed to one node: `fence` and the lease decide whose result counts."""

    unit_id: uuid.UUID
    attempt_id: uuid.UUID
    fence: int
    kind: str
    frame: int | None
    upload_key: str
    job: ClaimedJob


def claim(
    session: Session, node: CallingNode, ask: Mapping[str, Any], lease_seconds: int, silence_seconds: int
) -> list[Claim]:
    """Hand out up to `ask["limit"]` units that fit this node, best first, each with a fence and a lease.

    Units of `ask["job_id"]` are preferred. Rows that others hold are passed over, so that any number of nodes claim side
    by side without waiting.
    """
    now = clock.now()
    base = {
        "provider_id": node.provider_id,
        "is_trusted": node.is_trusted or node.provider_id is None,
        "node_id": node.id,
        "now": now,
        "alive_since": now - timedelta(seconds=silence_seconds),
        "lease_until": now + timedelta(seconds=lease_seconds),
    }
    rows: list[Any] = []
    wanted = [name for name in ask["capabilities"] if name in node.capabilities]
    for job_id in dict.fromkeys((ask.get("job_id"), None)):
        for capability in wanted:
            left = ask["limit"] - len(rows)
            if left > 0:
                found = base | {"capability": capability} | ({"job_id": job_id} if job_id else {})
                rows += session.execute(_claim_statement(left, bool(job_id)), found).all()
    claimed = {row[7]: ClaimedJob(*row[7:]) for row in rows}
    for job_id in {row[7] for row in rows if row[6]}:
        outbox.announce(session, "job:started", job_id)
    return [Claim(row[0], row[1], row[2], row[3], row[4], row[5], claimed[row[7]]) for row in rows]
