"""Which tasks a node may be handed: those that its machine has room for, at its provider's price, where they are wanted."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core import nodes
from app.values.money import MAX_MINOR

GB = 10**9
ENGINE = "container_engine"  # of a machine's report: what runs containers there; absent or null where nothing does

_NODE = text("""
SELECT n.machine, n.account_id, n.is_trusted, p.spec,
    (SELECT coalesce(sum(b.balance_minor), 0) FROM ledger_accounts b WHERE b.owner_id = n.account_id AND b.kind = 'stake'
        AND b.asset = 'USDC') AS stake_minor
FROM nodes n LEFT JOIN providers p ON p.id = n.provider_id WHERE n.id = :node_id
""")
_IN_USE = text("""
SELECT coalesce(sum(t.cpu_cores), 0) AS cores, coalesce(sum(t.ram_gb), 0) AS ram_gb, coalesce(sum(t.storage_gb), 0) AS storage_gb,
    coalesce(sum(t.gpu_count), 0) AS gpus
FROM attempts a JOIN work_units u ON u.attempt_id = a.id JOIN tasks t ON t.job_id = u.job_id
WHERE a.node_id = :node_id AND a.state = 'live' AND u.kind = 'container'
""")
# What a claim asks of each waiting task; it stands inside the claim's one statement.
FITS = """
    EXISTS (SELECT 1 FROM tasks t WHERE t.job_id = u.job_id AND t.cpu_cores <= :cores AND t.ram_gb <= :ram_gb
        AND t.storage_gb <= :storage_gb AND (t.location IS NULL OR lower(t.location) = :location)
        AND (t.gpu_count = 0 OR t.gpu_count <= (
            SELECT count(*) FROM unnest(CAST(:gpus_gb AS float8[])) AS g WHERE g >= t.gpu_memory_gb))
        AND CASE WHEN t.gpu_count > 0 THEN :gpu_price_minor ELSE :cpu_price_minor END <= t.max_price_minor)"""
# Whoever has a task now, and for how much an hour: its provider's price, or what the task offers where that has none.
TAKEN = """
    UPDATE tasks t SET provider_id = :provider_id, resource_id = NULL, running_at = NULL, claimed_seconds = NULL,
        container_id = NULL, resource_usage = NULL,
        price_minor = coalesce(least(nullif(CASE WHEN t.gpu_count > 0 THEN :gpu_price_minor ELSE :cpu_price_minor END, 0),
            t.max_price_minor), t.max_price_minor)
    FROM claimed WHERE claimed.kind = 'container' AND t.job_id = claimed.job_id"""


@dataclass(frozen=True, slots=True)
class Room:
    """What a node has free for tasks. `gpus_gb` is the memory of each free GPU; prices are per hour, 0 where there is none."""

    cores: float
    ram_gb: float
    storage_gb: float
    gpus_gb: tuple[float, ...]
    location: str
    cpu_price_minor: int = 0
    gpu_price_minor: int = 0

    def as_values(self) -> dict[str, Any]:
        """As `FITS` and `TAKEN` name them."""
        return {
            "cores": self.cores,
            "ram_gb": self.ram_gb,
            "storage_gb": self.storage_gb,
            "gpus_gb": list(self.gpus_gb),
            "location": self.location,
            "cpu_price_minor": self.cpu_price_minor,
            "gpu_price_minor": self.gpu_price_minor,
        }


NO_ROOM = Room(-1, -1, -1, (), "")


def room_of(session: Session, node_id: uuid.UUID, minimum_stake_minor: int) -> Room:
    """What this node has free; NO_ROOM where it runs no containers, or its owner has staked too little (the operator's own need
    none)."""
    row = session.execute(_NODE, {"node_id": node_id}).one()
    machine = row.machine if isinstance(row.machine, dict) else {}
    is_staked = row.spec is None and row.is_trusted or row.stake_minor >= minimum_stake_minor
    if not machine.get(ENGINE) or not is_staked:
        return NO_ROOM
    used = session.execute(_IN_USE, {"node_id": node_id}).one()
    gpus = sorted(_amount(gpu, "memory_total_bytes") / GB for gpu in nodes.gpus_of(machine))
    return Room(
        _amount(machine, "cpu_count") - float(used.cores),
        _amount(machine, "memory_bytes") / GB - float(used.ram_gb),
        _amount(machine, "disk_bytes") / GB - float(used.storage_gb),
        tuple(gpus[: max(0, len(gpus) - int(used.gpus))]),
        _location(machine, row.spec or {}),
    )


def _amount(said: Mapping[str, Any], name: str) -> float:
    """A node may say anything: what is no sensible number is nothing."""
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MAX_MINOR:
        return 0.0
    return float(value)


def _location(machine: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """Where the node says it is, else where its provider says that all of its are."""
    said = machine.get("location") or spec.get("location") or ""
    return said.strip().lower() if isinstance(said, str) else ""
