"""Providers' reputation: noted where work ends, folded by a sweep, read where work is handed out."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.models.nodes import Provider
from app.models.reputation import ProviderMark, ProviderStanding
from app.values import clock, reputation
from app.values.money import Money
from app.values.reputation import CLIENT_MOST, HALF_LIFE_DAYS, WEIGHTS, Outcome

FOLD_AT_MOST = 5000
FADES_AFTER_HOURS = 24  # a standing that nothing is added to is weighed anew so often

_KINDS = ("good", "bad", "proven_bad")
_WEIGHTS = ", ".join(f"('{outcome}', {', '.join(f'{weight}::float8' for weight in found)})" for outcome, found in WEIGHTS.items())


def _faded(since: str, until: str) -> str:
    return f"power(0.5, greatest(0, extract(epoch FROM {until} - {since}))::float8 / {HALF_LIFE_DAYS * 86_400})"


_SUMMED = ", ".join(f"sum(w.{kind} * {_faded('t.created_at', ':now')}) AS {kind}" for kind in _KINDS)
_ADDED = ", ".join(f"{kind} = r.{kind} * {_faded('r.as_of', 'excluded.as_of')} + excluded.{kind}" for kind in _KINDS)

# Marks are added to what their client's tasks say of the provider; both fade, so that an old record neither saves nor damns.
_FOLD = text(f"""
WITH taken AS (
    UPDATE provider_marks SET folded_at = :now WHERE id IN (
        SELECT id FROM provider_marks WHERE is_counted AND folded_at IS NULL
        ORDER BY created_at LIMIT {FOLD_AT_MOST} FOR UPDATE SKIP LOCKED)
    RETURNING provider_id, client_id, outcome, created_at),
added AS (
    SELECT t.provider_id, t.client_id, {_SUMMED}
    FROM taken t JOIN (VALUES {_WEIGHTS}) AS w (outcome, {", ".join(_KINDS)}) ON w.outcome = t.outcome
    GROUP BY t.provider_id, t.client_id),
put AS (
    INSERT INTO provider_records AS r (provider_id, client_id, {", ".join(_KINDS)}, as_of)
    SELECT provider_id, client_id, {", ".join(_KINDS)}, :now FROM added ORDER BY provider_id, client_id
    ON CONFLICT (provider_id, client_id) DO UPDATE SET {_ADDED}, as_of = greatest(r.as_of, excluded.as_of))
SELECT t.provider_id, array_agg(DISTINCT (t.created_at AT TIME ZONE 'UTC')::date)
    FILTER (WHERE t.outcome = 'completed') AS good_days
FROM taken t GROUP BY t.provider_id ORDER BY t.provider_id
""")
# One client's tasks count up to CLIENT_MOST, in the proportion of good and bad that they have; what is proven counts in full.
_WEIGH = text(f"""
SELECT provider_id, sum(good * share), sum(bad * share + proven_bad), count(*) FILTER (WHERE good >= 0.5) FROM (
    SELECT provider_id, good * fade AS good, bad * fade AS bad, proven_bad * fade AS proven_bad,
        least(1, {CLIENT_MOST} / greatest((good + bad) * fade, 1e-9)) AS share
    FROM (SELECT *, {_faded("as_of", ":now")} AS fade FROM provider_records WHERE provider_id = ANY(:providers)) AS r) AS c
GROUP BY provider_id
""")
# From the best down to the first who is there.
_BEST_PRESENT = text("""
SELECT s.score FROM provider_standings s WHERE s.score > :own AND (
    EXISTS (SELECT FROM provider_presences p WHERE p.provider_id = s.provider_id AND p.heard_at > :since
        AND p.status IN ('online', 'busy'))
    OR EXISTS (SELECT FROM nodes n WHERE n.provider_id = s.provider_id AND n.last_heartbeat_at > :since
        AND 'compute' = ANY(n.capabilities) AND NOT n.is_draining))
ORDER BY s.score DESC LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Reputation:
    """What is told of a provider: `score` 0 to 1; weights of good and bad work, by how many clients, on how many days."""

    score: float
    good: float
    bad: float
    clients: int
    days: int


NEWCOMER = Reputation(0.0, 0.0, 0.0, 0, 0)


def note(
    session: Session,
    provider_id: uuid.UUID,
    client_id: uuid.UUID,
    outcome: Outcome,
    source_id: uuid.UUID,
    earned: Money | None = None,
    seconds: int = 0,
) -> None:
    """A provider's work for a client has ended, after so many seconds. `source_id` is the attempt's (or the dispute's): noting it
    again changes nothing.

    What an account orders from itself counts for nothing, nor does work that went well and cost nothing: both are only kept for
    the provider's figures. Only inserts: no lock, no hot row.
    """
    owner = session.scalar(select(Provider.account_id).where(Provider.id == provider_id))
    is_paid = earned is not None and earned.minor > 0
    row = {
        "id": uuid.uuid4(),
        "provider_id": provider_id,
        "client_id": client_id,
        "outcome": outcome.value,
        "source_id": source_id,
        "seconds": seconds,
        "earned_minor": earned.minor if earned is not None else 0,
        "asset": earned.asset if earned is not None else None,
        "is_counted": owner != client_id and any(WEIGHTS[outcome]) and (is_paid or not WEIGHTS[outcome][0]),
        "created_at": clock.now(),
    }
    session.execute(insert(ProviderMark).values(row).on_conflict_do_nothing(index_elements=["source_id", "outcome"]))


def fold(session: Session) -> int:
    """Add new marks to providers' records and weigh those providers anew, and some whose standing is a day old. Returns how many
    providers; any number of folds at once add every mark once."""
    rows = session.execute(_FOLD, {"now": clock.now()}).all()
    days = {row.provider_id: row.good_days or [] for row in rows}
    old = select(ProviderStanding.provider_id).where(
        ProviderStanding.updated_at < clock.now() - timedelta(hours=FADES_AFTER_HOURS)
    )
    stale = session.scalars(old.order_by(ProviderStanding.updated_at).limit(FOLD_AT_MOST)).all()
    touched = sorted({*days, *stale})
    if touched:
        empty = {"score": 0.0, "good": 0.0, "bad": 0.0, "clients": 0, "days": 0, "updated_at": clock.now()}
        rows_wanted = [{"provider_id": provider_id} | empty for provider_id in touched]
        session.execute(insert(ProviderStanding).on_conflict_do_nothing(), rows_wanted)
        _weigh(session, touched, days)
    return len(touched)


def _weigh(session: Session, providers: Collection[uuid.UUID], days: Mapping[uuid.UUID, list[Any]]) -> None:
    """Rows are locked in the order of their ids, then the records are read: the last of several folds has seen all of them."""
    locked = select(ProviderStanding).where(ProviderStanding.provider_id.in_(providers)).order_by(ProviderStanding.provider_id)
    rows = session.scalars(locked.with_for_update().execution_options(populate_existing=True)).all()
    asked = {"providers": list(providers), "now": clock.now()}
    found = {row[0]: row[1:] for row in session.execute(_WEIGH, asked)}
    for row in rows:
        new_days = [day for day in days.get(row.provider_id, []) if row.last_day is None or day > row.last_day]
        row.days += len(new_days)
        row.last_day = max(new_days, default=row.last_day)
        row.good, row.bad, row.clients = found.get(row.provider_id, (0.0, 0.0, 0))
        row.score = reputation.score(row.good, row.bad, row.days)
        row.updated_at = clock.now()
    session.flush()


def read(session: Session, provider_id: uuid.UUID) -> Reputation:
    """A provider's reputation as it was last weighed; a newcomer's is 0."""
    row = session.get(ProviderStanding, provider_id)
    return Reputation(row.score, row.good, row.bad, row.clients, row.days) if row is not None else NEWCOMER


def head_start_seconds(session: Session, provider_id: uuid.UUID | None, most_seconds: float, silence_seconds: int) -> float:
    """For how long a new task is not yet this provider's to take, because somebody with a better reputation is there: the whole
    of `most_seconds` between a newcomer and the best that there can be. 0 for whoever is the best of those present."""
    if not most_seconds:
        return 0.0
    own = read(session, provider_id).score if provider_id is not None else 0.0
    since = clock.now() - timedelta(seconds=silence_seconds)
    best = session.execute(_BEST_PRESENT, {"own": own, "since": since}).scalar()
    return 0.0 if best is None else most_seconds * (float(best) - own)
