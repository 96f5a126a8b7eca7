"""Which tasks a node may be handed: those that its machine has room for, at its provider's price, where they are wanted."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core import nodes, reputation, resources
from app.core.resources import Terms
from app.errors import InvalidInput
from app.values import locations
from app.values.money import MAX_MINOR, Money
from app.values.task_resources import TYPES

GB = 10**9
# Of a machine's report: what runs containers there, and what of the machine it may give to them; null where nothing does.
ENGINE = "container_engine"
ASSETS = ("USDC", "USDT")

# Before anything else is asked of a node: mostly nothing waits.
_WAITS = text("""
SELECT EXISTS (SELECT 1 FROM work_units WHERE state = 'queued' AND NOT is_parked AND capability = 'compute' AND queued_at <= :now)
""")
_NODE = text("SELECT machine, account_id, provider_id, is_trusted FROM nodes WHERE id = :node_id")
_STAKES = text("SELECT asset, balance_minor FROM ledger_accounts WHERE owner_id = :account_id AND kind = 'stake'")
_IN_USE = text("""
SELECT coalesce(sum(t.cpu_cores), 0) AS cores, coalesce(sum(t.ram_gb), 0) AS ram_gb, coalesce(sum(t.storage_gb), 0) AS storage_gb,
    coalesce(sum(t.gpu_count), 0) AS gpus
FROM attempts a JOIN work_units u ON u.attempt_id = a.id JOIN tasks t ON t.job_id = u.job_id
WHERE a.node_id = :node_id AND a.state = 'live' AND u.kind = 'container'
""")
_PRICE = "(CAST(:prices AS jsonb) ->> (t.type || ':' || tj.asset))::bigint"
# What a claim asks of each waiting task; it stands inside the claim's one statement.
FITS = f"""
    u.queued_at <= :task_ready_at AND EXISTS (SELECT 1 FROM tasks t JOIN jobs tj ON tj.id = t.job_id
        WHERE t.job_id = u.job_id AND t.cpu_cores <= :cores AND t.ram_gb <= :ram_gb AND t.storage_gb <= :storage_gb
        AND (NOT t.has_network OR :has_network) AND (t.location IS NULL OR t.location = ANY(CAST(:locations AS text[])))
        AND (t.gpu_count = 0 OR t.gpu_count <= (
            SELECT count(*) FROM unnest(CAST(:gpus_gb AS float8[])) AS g WHERE g >= t.gpu_memory_gb))
        AND tj.asset = ANY(CAST(:assets AS text[])) AND coalesce({_PRICE}, 0) <= t.max_price_minor)"""
# Whoever has a task now, and for how much an hour: its provider's price, or what the task offers where that has none.
TAKEN = f"""
    UPDATE tasks t SET provider_id = :provider_id, resource_id = NULL, running_at = NULL, claimed_seconds = NULL,
        container_id = NULL, resource_usage = NULL, price_minor = least(coalesce({_PRICE}, t.max_price_minor), t.max_price_minor)
    FROM claimed JOIN jobs tj ON tj.id = claimed.job_id WHERE claimed.kind = 'container' AND t.job_id = claimed.job_id"""


@dataclass(frozen=True, slots=True)
class Rules:
    """Who gets tasks at all: `minimum_stakes` by the asset that a task is paid in; by how much the best-reputed provider that is
    there sees a task before a newcomer does."""

    minimum_stakes: Mapping[str, Money] = field(default_factory=dict)
    head_start_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Room:
    """What a node has free for tasks. `gpus_gb` is the memory of each free GPU; prices are per hour, by `type:asset`, where its
    provider has one; `assets` those that enough is staked for; without `has_network` its containers reach nothing."""

    cores: float = -1.0
    ram_gb: float = -1.0
    storage_gb: float = -1.0
    gpus_gb: tuple[float, ...] = ()
    locations: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    prices: Mapping[str, int] = field(default_factory=dict)
    has_network: bool = True

    def as_values(self) -> dict[str, Any]:
        """As `FITS` and `TAKEN` name them."""
        return {
            "cores": self.cores,
            "ram_gb": self.ram_gb,
            "storage_gb": self.storage_gb,
            "gpus_gb": list(self.gpus_gb),
            "locations": list(self.locations),
            "assets": list(self.assets),
            "prices": json.dumps(dict(self.prices)),
            "has_network": self.has_network,
        }


NO_ROOM = Room()


def is_waiting(session: Session, now: datetime) -> bool:
    """Whether anything waits for a node with `compute`."""
    return bool(session.execute(_WAITS, {"now": now}).scalar_one())


def values(session: Session, node_id: uuid.UUID, rules: Rules, now: datetime, silence_seconds: int) -> dict[str, Any]:
    """What `FITS` and `TAKEN` ask for, of this node: what it has free, and from when on a task is its to take."""
    row = session.execute(_NODE, {"node_id": node_id}).one()
    room = _room_of(session, node_id, row, rules)
    wait = 0.0
    if room is not NO_ROOM:
        wait = reputation.head_start_seconds(session, row.provider_id, rules.head_start_seconds, silence_seconds)
    return {**room.as_values(), "task_ready_at": now - timedelta(seconds=wait)}


def _room_of(session: Session, node_id: uuid.UUID, row: Any, rules: Rules) -> Room:
    """NO_ROOM where a node runs no containers, or its owner has staked too little."""
    machine = row.machine if isinstance(row.machine, dict) else {}
    assets = _staked_for(session, row, rules) if machine.get(ENGINE) else ()
    if not assets:
        return NO_ROOM
    said = machine[ENGINE] if isinstance(machine[ENGINE], dict) else {}
    own = {name: said[name] if said.get(name) is not None else machine.get(name) for name in ("cpu_count", "memory_bytes")}
    used = session.execute(_IN_USE, {"node_id": node_id}).one()
    terms = Terms({}, {}, ()) if row.provider_id is None else resources.terms_of(session, row.provider_id)
    prices = {f"{kind}:{asset}": terms.price_minor(kind, asset) for kind in TYPES for asset in assets}
    return Room(
        _amount(own, "cpu_count") - float(used.cores),
        _amount(own, "memory_bytes") / GB - float(used.ram_gb),
        _amount(machine, "disk_bytes") / GB - float(used.storage_gb),
        _free_gpus(machine, said, int(used.gpus)),
        (*_places(machine), *terms.locations),
        assets,
        {name: price for name, price in prices.items() if price is not None},
        said.get("network") is not False,
    )


def _free_gpus(machine: Mapping[str, Any], engine: Mapping[str, Any], used: int) -> tuple[float, ...]:
    """The memory of each GPU that a container could have, in GB: of all that there are the smaller ones, since nobody knows which
    are in use."""
    gpus = sorted(_amount(gpu, "memory_total_bytes") / GB for gpu in nodes.gpus_of(machine))
    given = int(_amount(engine, "gpus")) if "gpus" in engine else len(gpus)
    return tuple(gpus[: max(0, min(given, len(gpus)) - used)])


def _staked_for(session: Session, row: Any, rules: Rules) -> tuple[str, ...]:
    """The assets that enough is staked for; the operator's own nodes need none."""
    wanted = {asset: rules.minimum_stakes[asset].minor for asset in ASSETS if asset in rules.minimum_stakes}
    if not any(wanted.values()) or (row.is_trusted and row.provider_id is None):
        return ASSETS
    staked = {asset: minor for asset, minor in session.execute(_STAKES, {"account_id": row.account_id})}
    return tuple(asset for asset in ASSETS if staked.get(asset, 0) >= wanted.get(asset, 0))


def _amount(said: Mapping[str, Any], name: str) -> float:
    """A node may say anything: what is no sensible number is nothing."""
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MAX_MINOR:
        return 0.0
    return float(value)


def _places(machine: Mapping[str, Any]) -> list[str]:
    """Where the node says it is; what is no place is none."""
    said = machine.get("location")
    try:
        return locations.around(locations.read(said)) if isinstance(said, str) else []
    except InvalidInput:
        return []
