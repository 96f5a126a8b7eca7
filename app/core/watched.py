"""What sweeps read for operators now and then, because it costs too much at every scrape: the ledger's sums, nodes one by one,
and whose queues and wallets to look at."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core import figures
from app.core.figures import Figure
from app.core.nodes import gpus_of
from app.core.worker_gpus import MOST_GPUS, figure
from app.values import capabilities

MOST_NODES, MOST_QUEUES, ENTRIES_AT_ONCE = 500, 1000, 50_000
HEARD_SECONDS = 3600
SHARED = ("render", "inference", "compute")
_LISTENED = (*SHARED, *capabilities.PROMPTED)  # whose queue is one of them

_USERS = text("SELECT kind, asset, sum(balance_minor) FROM ledger_accounts WHERE balance_minor IS NOT NULL GROUP BY kind, asset")
_PLATFORMS = text("""
SELECT a.kind, a.asset, sum(CASE e.direction WHEN 'DEBIT' THEN -e.amount_minor ELSE e.amount_minor END)
FROM entry_numbers n JOIN entries e ON e.id = n.entry_id JOIN ledger_accounts a ON a.id = e.account_id
WHERE n.number > :first AND n.number <= :last AND a.balance_minor IS NULL GROUP BY a.kind, a.asset
""")
_NUMBER = text("""
SELECT number, entry_id FROM entry_numbers WHERE number <= CAST(:first AS bigint) + :many ORDER BY number DESC LIMIT 1
""")
_IS_AT = text("SELECT true FROM entry_numbers WHERE number = :number AND entry_id = :entry_id")
_SIZE = text("SELECT pg_database_size(current_database())")
_NODES = text("""
SELECT n.id, n.name, n.last_heartbeat_at >= now() - make_interval(secs => :silence) AND NOT n.is_draining
    AND (n.unhealthy_until IS NULL OR n.unhealthy_until <= now()) AS is_well,
    extract(epoch FROM now() - n.last_heartbeat_at) AS age, n.current_load, n.machine -> 'slots' AS slots,
    n.machine -> 'gpus' AS gpus, (SELECT count(*) FROM attempts a WHERE a.node_id = n.id AND a.state = 'live') AS busy
FROM nodes n WHERE n.last_heartbeat_at > now() - make_interval(secs => :heard) ORDER BY n.created_at, n.id LIMIT :most
""")
_HEARD = text("SELECT count(*) FROM nodes WHERE last_heartbeat_at > now() - make_interval(secs => :heard)")
_QUEUES = text("""
SELECT DISTINCT kind.name, n.provider_id FROM nodes n CROSS JOIN LATERAL unnest(n.capabilities) AS kind (name)
WHERE n.provider_id IS NOT NULL AND kind.name = ANY(:shared) AND n.last_heartbeat_at > now() - interval '1 day'
ORDER BY n.provider_id, kind.name LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class Counted:
    """The platform's accounts, summed over the numbered entries up to `number`, which is `entry_id`'s.

    Entries are never changed, so a sum goes on from the last one; `sums` are in minor units by (kind, asset).
    """

    number: int = 0
    entry_id: uuid.UUID | None = None
    sums: Mapping[tuple[str, str], int] = field(default_factory=dict)


def count_on(session: Session, before: Counted) -> tuple[Counted, bool]:
    """The next entries on top of `before`; whether there may be more. Starts over where these are other books."""
    if before.number and session.scalar(_IS_AT, {"number": before.number, "entry_id": before.entry_id}) is None:
        before = Counted()
    last = session.execute(_NUMBER, {"first": before.number, "many": ENTRIES_AT_ONCE}).one_or_none()
    if last is None or last.number == before.number:
        return before, False
    sums = dict(before.sums)
    for kind, asset, minor in session.execute(_PLATFORMS, {"first": before.number, "last": last.number}):
        sums[kind, asset] = sums.get((kind, asset), 0) + int(minor)
    return Counted(last.number, last.entry_id, sums), last.number == before.number + ENTRIES_AT_ONCE


def users_sums(session: Session) -> dict[tuple[str, str], int]:
    """Users' accounts by (kind, asset), in minor units: their balance rows."""
    return {(row[0], row[1]): int(row[2]) for row in session.execute(_USERS)}


def size_bytes(session: Session) -> int:
    """What the database takes on disk."""
    return int(session.scalar(_SIZE) or 0)


def tell_sums(sums: Mapping[tuple[str, str], int]) -> Iterator[Figure]:
    """Sums of the ledger as figures."""
    for (kind, asset), minor in sorted(sums.items()):
        yield Figure("ledger_balance", figures.amount(minor, asset), {"kind": kind, "asset": asset})


def providers_queues(session: Session) -> list[tuple[str, str]]:
    """(capability, queue) of providers whose nodes were heard of in the last day."""
    rows = session.execute(_QUEUES, {"shared": list(_LISTENED), "most": MOST_QUEUES})
    return list(dict.fromkeys((capabilities.queue(row[0]), f"{capabilities.queue(row[0])}.{row[1]}") for row in rows))


@dataclass(frozen=True, slots=True)
class SeenNode:
    """A node as its metrics tell it. What it did not report is None; each of `gpus` has its number as `gpu`."""

    id: uuid.UUID
    name: str
    is_well: bool
    age_seconds: float
    load: float
    busy: int
    slots: int | None
    gpus: tuple[dict[str, float | None], ...]


def nodes(session: Session, silence_seconds: int) -> tuple[list[SeenNode], int]:
    """Those registered first among the nodes heard of lately, and how many more there are."""
    values = {"silence": silence_seconds, "heard": HEARD_SECONDS, "most": MOST_NODES}
    found = [_seen(row) for row in session.execute(_NODES, values)]
    return found, int(session.scalar(_HEARD, {"heard": HEARD_SECONDS}) or 0) - len(found)


def _seen(row: Any) -> SeenNode:
    slots = row.slots if type(row.slots) is int and 0 <= row.slots <= 64 else None
    return SeenNode(row.id, row.name, row.is_well, float(row.age), row.current_load, row.busy, slots, _gpus(row.gpus))


def _gpus(told: Any) -> tuple[dict[str, float | None], ...]:
    """Each GPU once, whatever a node says of it."""
    found: dict[int, dict[str, float | None]] = {}
    for place, gpu in enumerate(gpus_of({"gpus": told})[:MOST_GPUS]):
        index = gpu.get("index")
        number = index if type(index) is int and 0 <= index < MOST_GPUS else place
        found.setdefault(number, {
            "gpu": number,
            "utilization_percent": figure(gpu.get("utilization_percent"), 100),
            "memory_used_bytes": figure(gpu.get("memory_used_bytes"), 2**50),
            "memory_total_bytes": figure(gpu.get("memory_total_bytes"), 2**50),
            "temperature_celsius": figure(gpu.get("temperature_celsius"), 200),
            "power_watts": figure(gpu.get("power_watts"), 10_000),
        })
    return tuple(found.values())
