"""Whether providers are there for compute tasks: by their software's heartbeats, and by their nodes'."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import any_, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models.nodes import Node
from app.models.presence import ProviderHour, ProviderPresence
from app.models.resources import BUSY
from app.values import clock

ONLINE, OFFLINE = "online", "offline"
STATUSES = (ONLINE, BUSY, OFFLINE, "maintenance")
NOTED_EVERY_SECONDS = 15
KEPT_DAYS = 100
FORGOTTEN_AT_ONCE = 50_000

# The minute that it is now, of whoever is there now; written once, whoever asks how often.
_NOTE_MINUTES = text("""
INSERT INTO provider_hours AS h (at, provider_id, minutes)
SELECT date_trunc('hour', CAST(:now AS timestamptz)), here.provider_id, CAST(:bit AS bigint) FROM (
    SELECT provider_id FROM provider_presences WHERE heard_at > :since AND status IN ('online', 'busy')
    UNION SELECT provider_id FROM nodes WHERE provider_id IS NOT NULL AND last_heartbeat_at > :since
        AND 'compute' = ANY(capabilities)) AS here
ORDER BY here.provider_id
ON CONFLICT (at, provider_id) DO UPDATE SET minutes = h.minutes | excluded.minutes WHERE h.minutes & excluded.minutes = 0
""")
_FORGET = text(f"""
DELETE FROM provider_hours WHERE ctid IN (SELECT ctid FROM provider_hours WHERE at < :before LIMIT {FORGOTTEN_AT_ONCE})
""")
_PRESENT = text("""
SELECT coalesce(sum(bit_count(CAST(minutes AS bit(64)))), 0) FROM provider_hours
WHERE provider_id = :provider_id AND at >= date_trunc('hour', CAST(:since AS timestamptz))
""")


@dataclass(frozen=True, slots=True)
class Presence:
    """`status` is the software's own word while it is heard, `online` where only nodes are, else `offline`. What the software
    said of its tasks and resources is told as it was said."""

    status: str
    heard_at: datetime | None
    nodes: int
    active_tasks: Any
    resources_available: Any

    @property
    def is_present(self) -> bool:
        return self.status in (ONLINE, BUSY)


def note(
    session: Session,
    provider_id: uuid.UUID,
    status: str,
    active_tasks: Any = None,
    resources_available: Any = None,
) -> None:
    """A heartbeat of a provider's software. Locks its row: call it after whatever locks tasks."""
    said = {
        "status": status,
        "active_tasks": active_tasks,
        "resources_available": resources_available,
        "heard_at": clock.now(),
    }
    statement = insert(ProviderPresence).values(provider_id=provider_id, **said)
    session.execute(statement.on_conflict_do_update(index_elements=["provider_id"], set_=said))


def note_alive(session: Session, provider_id: uuid.UUID) -> None:
    """Any other call of a provider's software is a sign of life too; written down only now and then. Locks as `note`."""
    now = clock.now()
    statement = insert(ProviderPresence).values(provider_id=provider_id, status=ONLINE, heard_at=now)
    is_old = ProviderPresence.heard_at < now - timedelta(seconds=NOTED_EVERY_SECONDS)
    session.execute(statement.on_conflict_do_update(index_elements=["provider_id"], set_={"heard_at": now}, where=is_old))


def read(session: Session, provider_id: uuid.UUID, silence_seconds: int) -> Presence:
    """Whether a provider is there now."""
    since = clock.now() - timedelta(seconds=silence_seconds)
    row = session.get(ProviderPresence, provider_id, populate_existing=True)
    working = (Node.provider_id == provider_id, Node.last_heartbeat_at > since, any_(Node.capabilities) == "compute")
    alive, heard = session.execute(select(func.count(), func.max(Node.last_heartbeat_at)).where(*working)).one()
    if row is None:
        return Presence(ONLINE if alive else OFFLINE, heard, alive, None, None)
    is_heard = row.heard_at > since
    status = row.status if is_heard else ONLINE if alive else OFFLINE
    newest = max(row.heard_at, heard) if heard is not None else row.heard_at
    return Presence(status, newest, alive, row.active_tasks, row.resources_available)


def note_minutes(session: Session, silence_seconds: int) -> None:
    """Write down who is there in this minute, for the figures of weeks; doubling it changes nothing. Old hours are forgotten."""
    now = clock.now()
    session.execute(_NOTE_MINUTES, {"now": now, "bit": 1 << now.minute, "since": now - timedelta(seconds=silence_seconds)})
    session.execute(_FORGET, {"before": now - timedelta(days=KEPT_DAYS)})


def uptime_percent(session: Session, provider_id: uuid.UUID, since: datetime) -> float | None:
    """In how many of the minutes since then the provider was there, since it was first seen; None where it never was."""
    first = session.scalar(select(func.min(ProviderHour.at)).where(ProviderHour.provider_id == provider_id))
    if first is None:
        return None
    begin = max(since.replace(minute=0, second=0, microsecond=0), first)
    present = session.execute(_PRESENT, {"provider_id": provider_id, "since": begin}).scalar_one()
    whole = max(1.0, (clock.now() - begin).total_seconds() / 60)
    return round(min(100.0, 100.0 * int(present) / whole), 2)
