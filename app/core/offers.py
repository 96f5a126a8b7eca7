"""Who sells compute: providers by what they have, what they ask, where they are and what they are worth."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from app.core import resources
from app.core.resources import Listed
from app.models.reputation import ProviderMark
from app.values import clock
from app.values.reputation import Outcome

SHOWN_RESOURCES = 100

# A provider has what one of its resources has that are within the price and the place, or one of its nodes that are there: those
# have no price or place of their own, so where either is asked for, they speak only for a provider with a resource within it.
# `cpu_count` is what a node says, so anything may stand there.
_OFFERS = """
offers AS (
    SELECT provider_id, gpu_count, gpu_memory_gb, cpu_cores, ram_gb, price_minor, location, true AS has_terms
    FROM resources WHERE deleted_at IS NULL AND status = 'available'
        AND (CAST(:max_price_minor AS bigint) IS NULL OR price_minor <= :max_price_minor)
        AND (CAST(:location AS text) IS NULL OR location = :location OR starts_with(location, :location || '-'))
    UNION ALL
    SELECT n.provider_id, 0, n.gpu_memory_bytes / 1e9,
        CASE WHEN jsonb_typeof(n.machine -> 'cpu_count') = 'number' THEN least((n.machine ->> 'cpu_count')::numeric, 100000) END,
        CASE WHEN jsonb_typeof(n.machine -> 'memory_bytes') = 'number'
            THEN least((n.machine ->> 'memory_bytes')::numeric, 1e15) / 1e9 END, NULL, NULL, false
    FROM nodes n WHERE n.provider_id IS NOT NULL AND n.last_heartbeat_at > :since AND 'compute' = ANY(n.capabilities)
        AND NOT n.is_draining AND (n.unhealthy_until IS NULL OR n.unhealthy_until < :now)),
found AS (
    SELECT provider_id, max(gpu_memory_gb) AS gpu_memory_gb, max(cpu_cores) AS cpu_cores, max(ram_gb) AS ram_gb,
        max(gpu_count) AS gpu_count, min(price_minor) AS price_minor,
        array_agg(DISTINCT location) FILTER (WHERE location IS NOT NULL) AS locations,
        count(*) FILTER (WHERE has_terms) AS resources, count(*) FILTER (WHERE NOT has_terms) AS nodes
    FROM offers GROUP BY provider_id
    HAVING (CAST(:gpu_memory_min AS numeric) IS NULL OR max(gpu_memory_gb) >= :gpu_memory_min)
        AND (CAST(:cpu_cores_min AS numeric) IS NULL OR max(cpu_cores) >= :cpu_cores_min)
        AND (CAST(:max_price_minor AS bigint) IS NULL AND CAST(:location AS text) IS NULL OR bool_or(has_terms)))
"""
_SEARCH = text(f"""
WITH {_OFFERS}, told AS (
    SELECT f.*, p.name, p.registered_at, coalesce(s.score, 0) AS score, CASE WHEN h.heard_at > :since THEN h.status
        WHEN f.nodes > 0 THEN 'online' ELSE 'offline' END AS status
    FROM found f JOIN providers p ON p.id = f.provider_id
    LEFT JOIN provider_standings s ON s.provider_id = f.provider_id
    LEFT JOIN provider_presences h ON h.provider_id = f.provider_id)
SELECT *, count(*) OVER () AS total FROM told
ORDER BY status IN ('online', 'busy') DESC, score DESC, price_minor NULLS LAST, registered_at, provider_id
LIMIT :limit OFFSET :offset
""")
_COUNT = text(f"WITH {_OFFERS} SELECT count(*) FROM found")


def search(
    session: Session, wanted: Mapping[str, Any], limit: int, offset: int, silence_seconds: int
) -> tuple[Sequence[Row[Any]], int]:
    """Providers that have what is wanted, and how many there are: those that are there first, then by reputation, then by price.

    `wanted` may hold gpu_memory_min and cpu_cores_min, max_price_minor by the hour, and a location.
    """
    now = clock.now()
    names = ("gpu_memory_min", "cpu_cores_min", "max_price_minor", "location")
    asked = {name: wanted.get(name) for name in names} | {"now": now, "since": now - timedelta(seconds=silence_seconds)}
    rows = session.execute(_SEARCH, asked | {"limit": limit, "offset": offset}).all()
    if rows or not offset:
        return rows, rows[0].total if rows else 0
    return rows, int(session.execute(_COUNT, asked).scalar_one())  # a page beyond the last


def shown_resources(session: Session, provider_id: uuid.UUID) -> list[Listed]:
    """What a provider offers, as everybody may see it: not what it has taken away for now."""
    rows, _ = resources.listed(session, provider_id, None, None, SHOWN_RESOURCES, 0)
    return [row for row in rows if row.resource.status == resources.AVAILABLE]


def tasks_completed(session: Session, provider_id: uuid.UUID) -> int:
    """Compute tasks that a provider has finished well."""
    query = select(func.count()).where(ProviderMark.provider_id == provider_id, ProviderMark.outcome == Outcome.COMPLETED)
    return session.scalar(query) or 0
