"""Every metric of the marketplace, named once; most are read at a scrape. Requests are counted by prometheus-flask-exporter, and
told again by `request_families`."""

import json
import time
from collections.abc import Callable, Iterable

import redis
import structlog
from prometheus_client import Counter, Gauge, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app import __version__
from app.core.figures import Figure
from app.observability import reporter, shared_counts, watched

log = structlog.get_logger()
disable_created_metrics()  # series that only tell when others began, and that several processes can't tell at all
PREFIX = "lightyard_"
AUDIT_KEY = "lightyard.audit"
PAYOUT_AUDIT_KEY = "lightyard.payout_audit"
NAMES = {
    "units": "Work units that wait or that a node holds",
    "oldest_unit_age_seconds": "How long the oldest waiting unit has waited",
    "nodes": "Nodes by status",
    "payments_pending": "Transactions that were shown and that the chain has not decided",
    "payment_pending_age_seconds": "Age of the oldest undecided transaction",
    "arrivals_undecided": "Arrivals on TON that were seen and not yet decided",
    "arrivals_unclaimed": "Arrivals on TON that no payment takes, and that an operator must look at: lightyard ton unclaimed",
    "chain_unread_seconds": "How long the address that was read longest ago waits, of those that are asked to be paid at now",
    "outbox_messages": "Durable doorbells that nobody carried away yet",
    "outbox_age_seconds": "Age of the oldest of them",
    "card_problems": "Stripe events that were acknowledged and could not be applied: lightyard stripe problems",
    "worker_polls_overdue_seconds": "How long the Cocoon worker that waits longest for its poll is overdue",
    "refunds_owed_minor": "What providers owe clients, in minor units",
    "anchors": "Trees over the ledger whose root is not final on the chain",
    "anchor_age_seconds": "Age of the oldest tree whose root is on its way to the chain",
    "ledger_differences": "Ways in which the books disagree with themselves; 0 is the invariant",
    "ledger_audit_age_seconds": "Time since the books were last held against themselves",
    "payouts": "Payouts that are not paid yet",
    "payout_age_seconds": "Age of the oldest of them",
    "payouts_held": "Payouts that are not signed until an operator says so: lightyard payouts list --held",
    "payout_signing_age_seconds": "Age of the oldest signed transaction that its chain has not decided",
    "payout_differences": "Open differences between chains and books: lightyard payouts differences",
    "payout_wallets_halted": "Hot wallets that sign nothing until their differences are acknowledged",
    "payout_wallet_read_age_seconds": "Time since a hot wallet's history was last read to its end",
    "payout_records_unconfirmed": "Recorded payouts, older than an hour, whose transaction TON does not show",
    "payout_ledger_differences": "Ways in which payouts and ledger disagree; 0 is the invariant",
    "payout_ledger_audit_age_seconds": "Time since the payouts were last held against the ledger",
    "chain_unconfirmed_age_seconds": "Age of the oldest transaction, in or out, that the chain has not decided; 0 if none",
    "chain_up": "1 if every configured RPC node told its head",
    "chain_head_block": "The newest block of the RPC node that is furthest",
    "chain_head_age_seconds": "How old that block is",
    "chain_lag_blocks": "How far the slowest RPC node is behind the furthest",
    "payout_amount": "What the payouts come to that are not paid yet, in the asset's own unit",
    "ledger_balance": "Sums over the ledger by what the money is, in the asset's own unit",
    "hot_wallet_balance": "What a hot wallet has on its chain, in the asset's own unit",
    "signer_up": "1 if the signer answered",
    "queue_depth": "Messages that wait at the broker",
    "nodes_unlisted": "Nodes that are too many to be listed one by one",
    "relay_connections": "Sockets that are open on the relay",
    "relay_waiting_bytes": "What those sockets were told and have not read yet",
    "database_pool_connections": "Database connections of the hub's processes",
    "database_pool_limit": "Database connections that the hub's processes may have",
    "database_size_bytes": "The database on disk",
    "database_connections": "Connections to this database at the server",
    "database_connections_limit": "The server's max_connections",
    "database_oldest_transaction_seconds": "How long the oldest open transaction has been open; 0 if none",
    "processes": "The hub's processes that were heard of lately",
    "process_resident_bytes": "Memory of the hub's processes",
    "sweep_age_seconds": "Time since a sweep left its figures",
    "build_info": "Which hub this is",
    "database_up": "1 if PostgreSQL answered this scrape",
    "cache_up": "1 if Valkey answered this scrape",
}
LABELS = {"units": ("capability", "state"), "oldest_unit_age_seconds": ("capability",), "nodes": ("status",)}
LABELS |= {"arrivals_unclaimed": ("code",), "chain_unread_seconds": ("chain",)}
LABELS |= {"refunds_owed_minor": ("asset",), "anchors": ("state",)}
LABELS |= {"payouts": ("chain", "state"), "payout_age_seconds": ("chain",), "payouts_held": ("chain",)}
LABELS |= {"payout_signing_age_seconds": ("chain",), "payout_differences": ("chain", "kind")}
LABELS |= {"payout_wallets_halted": ("chain",), "payout_wallet_read_age_seconds": ("chain",)}
LABELS |= {"chain_unconfirmed_age_seconds": ("chain",), "payout_amount": ("chain", "asset"), "ledger_balance": ("kind", "asset")}
LABELS |= {name: ("chain",) for name in ("chain_up", "chain_head_block", "chain_head_age_seconds", "chain_lag_blocks")}
LABELS |= {"hot_wallet_balance": ("chain", "asset"), "queue_depth": ("queue",), "sweep_age_seconds": ("sweep",)}
LABELS |= {"relay_connections": ("endpoint",), "relay_waiting_bytes": ("endpoint",), "database_connections": ("state",)}
LABELS |= {"database_pool_connections": ("role", "state"), "database_pool_limit": ("role",), "build_info": ("version",)}
LABELS |= {"processes": ("role",), "process_resident_bytes": ("role",)}
# Counted by PostgreSQL itself.
COUNTED = {
    "database_transactions": ("Transactions of this database, as the server counts them", ("outcome",)),
    "database_deadlocks": ("Deadlocks of this database, as the server counts them", ()),
}
# RenderTrust's families, under its names and without our prefix: totals since the first day, and its nodes.
TOTALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "jobs_dispatched": ("Jobs that were paid, or tried again, and given to nodes", ("job_type",)),
    "jobs_completed": ("Dispatched jobs that ended: completed, failed or cancelled", ("job_type", "status")),
    "credits_consumed": ("Credits used for good: captured for jobs that are done, or deducted", ()),
}
FLEET = {"fleet_nodes_total": ("Nodes: REGISTERED before their first heartbeat, then HEALTHY or UNHEALTHY", ("status",))}

# Of each process: registered by the factory, and summed over processes by prometheus_client's files.
SOCKETS = Gauge("active_websocket_connections", "Open websockets of all dialects", registry=None, multiprocess_mode="livesum")
MESSAGES = Counter("lightyard_relay_messages", "Messages on the relay, in and out", ("direction", "type"), registry=None)
CLOSES = Counter("lightyard_relay_closes", "Sockets of the relay that ended, and why", ("code", "reason"), registry=None)
OF_PROCESS: tuple[Collector, ...] = (SOCKETS, MESSAGES, CLOSES)


_Family = GaugeMetricFamily | CounterMetricFamily


def _families() -> dict[str, tuple[_Family, tuple[str, ...]]]:
    """Each family, still empty, with its labels."""
    ours = {name: (text, LABELS.get(name, ())) for name, text in NAMES.items()}
    made: dict[str, tuple[_Family, tuple[str, ...]]] = {
        name: (GaugeMetricFamily(PREFIX + name, text, labels=labels), labels) for name, (text, labels) in ours.items()
    }
    made |= {name: (GaugeMetricFamily(name, text, labels=labels), labels) for name, (text, labels) in FLEET.items()}
    made |= {name: (CounterMetricFamily(PREFIX + name, text, labels=labels), labels) for name, (text, labels) in COUNTED.items()}
    return made | {name: (CounterMetricFamily(name, text, labels=labels), labels) for name, (text, labels) in TOTALS.items()}


class MarketplaceCollector(Collector):
    """Asks the database and the cache at each scrape; what does not answer is shown as down, never as zero.

    `report` tells first what this process has counted itself, and is False where the cache is away.
    """

    def __init__(self, read: Callable[[], list[Figure]], cache: redis.Redis, report: Callable[[], bool]) -> None:
        self._read, self._cache, self._report = read, cache, report

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry need not scrape once just to be built."""
        return ()

    def collect(self) -> Iterable[Metric]:
        families = _families()
        reported, figures = self._reported()
        for figure in [Figure("build_info", 1, {"version": __version__}), *self._database(), *figures]:
            family, labels = families.get(figure.name, (None, ()))
            if family is None or not figure.labels.keys() >= set(labels):
                continue  # during an update, a worker of another version has left it: that must cost no scrape
            family.add_metric([figure.labels[label] for label in labels], figure.value)
        return [*(family for family, _ in families.values()), *reported]

    def _database(self) -> list[Figure]:
        try:
            return [*self._read(), Figure("database_up", 1)]
        except Exception as error:  # noqa: BLE001  a scrape tells that the database is away; it never fails for it
            log.warning("metrics.database_away", error=str(error))
            return [Figure("database_up", 0)]

    def _reported(self) -> tuple[list[Metric], list[Figure]]:
        """What the hub's processes have counted, and what audits, sweeps and living processes say."""
        try:
            if not self._report():
                return [], [Figure("cache_up", 0)]
            pipe = self._cache.pipeline(transaction=False)
            for key in (AUDIT_KEY, PAYOUT_AUDIT_KEY):
                pipe.get(key)
            for key in (watched.KEY, reporter.COUNTS, reporter.PROCESSES):
                pipe.hgetall(key)
            audit, payouts, sweeps, counted, processes = pipe.execute()
            now = time.time()
            gone = shared_counts.forgotten(processes, now, reporter.FORGOTTEN_SECONDS)
            if gone:
                self._cache.hdel(reporter.PROCESSES, *gone)
        except redis.RedisError as error:
            log.warning("metrics.cache_away", error=str(error))
            return [], [Figure("cache_up", 0)]
        return list(shared_counts.families(counted, PREFIX)), [
            Figure("cache_up", 1),
            *_audited(audit, "ledger_differences", "ledger_audit_age_seconds"),
            *_audited(payouts, "payout_ledger_differences", "payout_ledger_audit_age_seconds"),
            *watched.tell(sweeps, now),
            *shared_counts.living(processes, now),
        ]


def _audited(found: object, count: str, age: str) -> list[Figure]:
    """What an audit has left in the cache; nothing before the first."""
    if not isinstance(found, str):
        return []
    audit = json.loads(found)
    return [Figure(count, audit["count"]), Figure(age, time.time() - audit["at"])]


def note_payout_audit(cache: redis.Redis, count: int) -> None:
    """Keep in how many ways payouts and ledger disagree, for every process's scrape."""
    cache.set(PAYOUT_AUDIT_KEY, json.dumps({"count": count, "at": time.time()}))


def note_audit(cache: redis.Redis, count: int, is_whole: bool) -> None:
    """Keep what the audits found, for every process's scrape; only a whole audit takes a difference back."""
    before = cache.get(AUDIT_KEY)
    if isinstance(before, str) and not is_whole:
        count = max(count, json.loads(before)["count"])
    cache.set(AUDIT_KEY, json.dumps({"count": count, "at": time.time()}))
