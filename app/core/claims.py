"""Handing out units: what a claim picks, locks, writes down and answers, in one statement."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import Text, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app import outbox
from app.core import attempts, prompts, render_blocks, task_fit, tasks
from app.core.nodes import CallingNode
from app.values import capabilities, clock

# One statement, so that a claim is one round trip however many units it takes. A job that is being changed by somebody
# else is passed over when starts are noted, never waited for: this statement holds units already.
# What was offered to this node comes first, then its provider's own units: nobody else may do those. What is left is filled with
# units of nobody's provider. A unit that backs off, or is offered to another node first, is in its queue but not ready.
# Whoever joins a video sees all its frames, so those that nobody has paid yet go to the operator's nodes alone.
# The picked ids are an array, evaluated once. Joined instead, the update of a row that a sweep changed after this statement's
# snapshot makes PostgreSQL look at the picks again, which locks and takes units beyond the limit.
_OFFERED = """
    SELECT u.id FROM work_units u
    WHERE u.state = 'queued' AND NOT u.is_parked AND u.offered_node_id = :node_id AND u.capability = ANY(:kinds)
    ORDER BY u.queued_at
    LIMIT {limit} FOR UPDATE OF u SKIP LOCKED"""
_PICK = """
    SELECT u.id FROM work_units u
    WHERE u.state = 'queued' AND NOT u.is_parked AND u.capability = :capability
      {of_job}{inspects}{fits} AND {whose} AND u.queued_at <= :now
      AND (u.memory_bytes IS NULL OR u.memory_bytes <= :memory_bytes)
      AND (u.engine IS NULL OR CAST(:engines AS text[]) IS NULL OR u.engine = ANY(CAST(:engines AS text[])))
      AND (u.kind <> 'join' OR :sees_all OR {is_paid})
      AND (NOT (:node_id = ANY(u.blocked_nodes)) OR (NOT EXISTS (
            SELECT 1 FROM render_blocks b WHERE b.job_id = u.job_id AND b.node_id = :node_id
                AND (b.blocked_at > :blocked_since OR b.code = :overworked))
        AND NOT EXISTS (
            SELECT 1 FROM nodes n WHERE n.id <> ALL(u.blocked_nodes) AND n.last_heartbeat_at > :alive_since
            AND NOT n.is_draining AND (n.unhealthy_until IS NULL OR n.unhealthy_until < :now)
            AND (u.capability = ANY(n.capabilities) OR :cover = ANY(n.capabilities))
            AND (u.memory_bytes IS NULL OR n.memory_bytes IS NULL OR n.memory_bytes >= u.memory_bytes)
            AND (u.engine IS NULL OR n.engines IS NULL OR u.engine = ANY(n.engines))
            AND (u.kind <> 'join' OR n.is_trusted OR :open_nodes OR {is_paid})
            AND (n.provider_id = u.provider_id OR (u.provider_id IS NULL
                AND (n.is_trusted OR n.provider_id IS NOT NULL OR :open_nodes))))))
    ORDER BY u.priority DESC, u.queued_at, u.job_id, u.ordinal
    LIMIT {limit} FOR UPDATE OF u SKIP LOCKED"""
_IS_PAID = "(SELECT o.mode FROM render_orders o WHERE o.job_id = u.job_id) <> 'pay_before_download'"
_OWN, _ANYBODYS = "u.provider_id = :provider_id", "u.provider_id IS NULL"
# A job whose scene a node has open comes first among its equals alone: else a long one would keep the node from what is more
# urgent, or has waited for too long, and from its own provider's.
_WAITS = """SELECT w.priority FROM work_units w WHERE w.state = 'queued' AND NOT w.is_parked AND w.capability = :capability
    AND w.queued_at <= :now AND {which} ORDER BY w.priority DESC LIMIT 1"""
_OF_JOB = "AND u.job_id = :job_id AND u.priority >= coalesce(({waits}), u.priority)"
_AFTER_OWN = " AND NOT EXISTS ({waits})"
_ORDERED_ALONE = " AND u.kind NOT IN ('inspection', 'tile', 'join')"
_SETTINGS = "j.settings - 'frame_list'"
_TASK_SETTINGS = f"CASE c.kind WHEN 'container' THEN (SELECT to_jsonb(t) FROM tasks t WHERE t.job_id = j.id) ELSE {_SETTINGS} END"
_CLAIM = """
WITH {offered}own AS ({own}),
anybodys AS ({anybodys}),
picked AS (SELECT id FROM own UNION ALL SELECT id FROM anybodys{or_offered}),
claimed AS (
    UPDATE work_units u SET state = 'assigned', fence = u.fence + 1, attempt_id = gen_random_uuid(), offered_node_id = NULL,
        lease_until = :lease_until, progress = 0
    WHERE u.id = ANY(ARRAY(SELECT id FROM picked))
    RETURNING u.id, u.attempt_id, u.fence, u.job_id, u.kind, u.frame, u.tile, u.ordinal,
        'results/' || u.job_id || '/' || u.id || '-' || u.fence AS upload_key),
noted AS (
    INSERT INTO attempts (id, unit_id, node_id, fence, state, upload_key, started_at)
    SELECT attempt_id, id, :node_id, fence, 'live', upload_key, :now FROM claimed),
begun AS (
    UPDATE jobs SET started_at = :now WHERE id IN (
        SELECT j.id FROM jobs j WHERE j.id IN (SELECT job_id FROM claimed WHERE kind <> 'inspection') AND j.started_at IS NULL
        FOR UPDATE SKIP LOCKED)
    RETURNING id){taken}
SELECT c.id, c.attempt_id, c.fence, c.kind, c.frame, c.upload_key, begun.id IS NOT NULL, c.job_id,
    j.kind, {settings}, s.file_name, s.format, s.sha256, s.size_bytes, s.storage_key, j.request_id, j.traceparent,
    c.tile
FROM claimed c JOIN jobs j ON j.id = c.job_id LEFT JOIN scenes s ON s.id = j.scene_id LEFT JOIN begun ON begun.id = c.job_id
ORDER BY c.job_id, c.ordinal
"""


TASK_RULES = task_fit.Rules()
_KINDS = (bindparam("kinds", type_=ARRAY(Text)),)


@cache
def _claim_statement(
    limit: int, is_of_job: bool, looks_for_offers: bool, inspects: bool = True, has_tasks: bool = False
) -> TextClause:
    """The limit is written out: PostgreSQL keeps the plan of a statement whose cost does not hang on a parameter."""
    kinds = "" if inspects else _ORDERED_ALONE
    of_own, of_anybodys = _of_job(kinds) if is_of_job else ("", "")
    fits = f" AND (u.kind <> 'container' OR {task_fit.FITS})" if has_tasks else ""
    only = {"inspects": kinds, "fits": fits, "is_paid": _IS_PAID}
    limit = int(limit)
    offered = f"offered AS ({_OFFERED.format(limit=limit)}),\n" if looks_for_offers else ""
    for_own = f"(SELECT {limit} - count(*) FROM offered)" if looks_for_offers else str(limit)
    rest = f"(SELECT {for_own} - count(*) FROM own)"
    statement = _CLAIM.format(
        offered=offered,
        own=_PICK.format(**only, of_job=of_own, whose=_OWN, limit=for_own),
        anybodys=_PICK.format(**only, of_job=of_anybodys, whose=_ANYBODYS, limit=rest),
        or_offered=" UNION ALL SELECT id FROM offered" if looks_for_offers else "",
        taken=f",\ntaken AS ({task_fit.TAKEN})" if has_tasks else "",
        settings=_TASK_SETTINGS if has_tasks else _SETTINGS,
    )
    return text(statement).bindparams(*_KINDS[:looks_for_offers])


def _of_job(kinds: str) -> tuple[str, str]:
    """What is asked of a job's units that are its provider's own, and of those that are anybody's."""
    own, anybodys = (_WAITS.format(which=f"{whose}{kinds}".replace("u.", "w.")) for whose in (_OWN, _ANYBODYS))
    return _OF_JOB.format(waits=own), _OF_JOB.format(waits=anybodys) + _AFTER_OWN.format(waits=own)


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
    request_id: str | None
    traceparent: str | None


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
    tile: Mapping[str, int] | None = None


def claim(
    session: Session,
    node: CallingNode,
    ask: Mapping[str, Any],
    lease_seconds: int,
    silence_seconds: int,
    open_nodes: bool = False,
    task_rules: task_fit.Rules = TASK_RULES,
    second_try_seconds: int = render_blocks.SECOND_TRY_SECONDS,
) -> list[Claim]:
    """Hand out up to `ask["limit"]` units that fit this node, best first, each with a fence and a lease.

    What was offered to this node (`core.dispatch`) comes first, then units of `ask["job_id"]` before others that are as urgent.
    Rows that others hold are passed over, so that any number of nodes claim side by side without waiting. What this node has
    failed at is for others. While there are none it may try again: at once, or after `second_try_seconds` where it is on a
    render's list (`render_blocks`). `ask["inspects"]` is False for a node that does only what clients order. Of compute tasks it
    gets those that its machine has room for, one at a time, since each takes some of it. The caller has asked
    `nodes.assert_may_work`.
    """
    now = clock.now()
    kinds = capabilities.asked(ask["capabilities"], node.capabilities)
    base = {
        "provider_id": node.provider_id,
        "open_nodes": open_nodes,
        "sees_all": node.is_trusted or open_nodes,
        "node_id": node.id,
        "now": now,
        "alive_since": now - timedelta(seconds=silence_seconds),
        "overworked": render_blocks.OVERWORKED,
        "blocked_since": now - timedelta(seconds=second_try_seconds),
        "memory_bytes": 2**63 - 1 if node.memory_bytes is None else node.memory_bytes,
        "engines": node.engines,
        "lease_until": now + timedelta(seconds=lease_seconds),
    }
    rows: list[Any] = []
    has_looked = node.offered_until is None or node.offered_until <= now  # a lapsed offer is found like anybody's unit
    for job_id in dict.fromkeys((ask.get("job_id"), None)):
        for kind in sorted(kinds, key=lambda kind: kind == tasks.CAPABILITY):  # last, for it is asked about one at a time
            left = ask["limit"] - len(rows)
            has_tasks = kind == tasks.CAPABILITY
            if left > 0:
                found = base | {"capability": kind, "cover": capabilities.fitting(kind)[-1]}
                found |= ({"job_id": job_id} if job_id else {}) | ({} if has_looked else {"kinds": kinds})
                if has_tasks:
                    if has_looked and not task_fit.is_waiting(session, now):
                        continue
                    left = 1
                    found |= task_fit.values(session, node.id, task_rules, now, silence_seconds)
                statement = _claim_statement(left, bool(job_id), not has_looked, bool(ask.get("inspects", True)), has_tasks)
                rows += session.execute(statement, found).all()
                has_looked = True
    claimed = prompts.told(session, {row[7]: ClaimedJob(*row[7:-1]) for row in rows})
    for job_id in {row[7] for row in rows if row[6]}:
        outbox.announce(session, "job:started", job_id)
    handed = [Claim(row[0], row[1], row[2], row[3], row[4], row[5], claimed[row[7]], row[-1]) for row in rows]
    for job_id in {row[7] for row in rows if row[3] == tasks.UNIT_KIND and not row[6]}:
        outbox.tell_followers(session, job_id)
    if handed:
        attempts.tell_claimed(session, node.id, handed)
    return handed
