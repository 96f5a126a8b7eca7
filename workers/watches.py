"""Beat's tasks that look at what operators watch and no scrape may wait for. What can't be read has no figures until it can."""

import json
import uuid
from functools import cache

import structlog
from celery import shared_task

from app.adapters import queue_depths
from app.adapters.exposition_shelf import NODES, ExpositionShelf
from app.adapters.publisher import HUB_QUEUE
from app.adapters.turns import turn
from app.core import watched
from app.core.figures import Figure
from app.core.watched import SHARED, Counted
from app.errors import Unavailable
from app.flows import chain_watch
from app.observability import node_exposition
from app.observability import watched as shelf
from workers.parts import hub
from workers.seats import seat

log = structlog.get_logger()
TURN_SECONDS, CHAIN_TURN_SECONDS, MONEY_TURN_SECONDS = 10, 60, 300
NODES_GOOD_SECONDS = 90.0
BOOKS_KEY = "lightyard.counted_books"


@cache
def _nodes_shelf(url: str) -> ExpositionShelf:
    """One connection for all sweeps of this process."""
    return ExpositionShelf(url, NODES)


@shared_task(name="hub.watch_queues")
def watch_queues() -> None:
    """How many messages wait at the broker, for the hub and for nodes."""
    with turn(hub().cache, "watch queues", TURN_SECONDS) as is_ours:
        if not is_ours:
            return
        with hub().database.read_only() as session:
            providers = watched.providers_queues(session)
        celery, settings = hub().celery, hub().settings
        try:
            depths = queue_depths.read(celery, settings.broker, [HUB_QUEUE])
            depths |= queue_depths.read(celery, settings.doorbell_broker, [*SHARED, *(queue for _, queue in providers)])
        except Unavailable as error:
            log.warning("watch.broker_away", error=error.message)
            return
        told = {queue: depths[queue] for queue in (HUB_QUEUE, *SHARED)} | {f"{kind}.*": 0 for kind in SHARED}
        for kind, queue in providers:
            told[f"{kind}.*"] += depths[queue]
        shelf.note(hub().cache, "queues", [Figure("queue_depth", depth, {"queue": queue}) for queue, depth in told.items()])


@shared_task(name="hub.watch_nodes")
def watch_nodes() -> None:
    """Nodes and their GPUs one by one, as far as they are listed."""
    with turn(hub().cache, "watch nodes", TURN_SECONDS) as is_ours:
        if not is_ours:
            return
        with hub().database.read_only() as session:
            nodes, unlisted = watched.nodes(session, hub().settings.node_unhealthy_seconds)
        _nodes_shelf(hub().settings.redis_url).put(node_exposition.build(nodes), NODES_GOOD_SECONDS)
        shelf.note(hub().cache, "nodes", [Figure("nodes_unlisted", unlisted)])


@shared_task(name="hub.watch_chains")
def watch_chains() -> None:
    """How far the chains' nodes are, and what the hot wallets have."""
    with seat("watch") as is_free, turn(hub().cache, "watch chains", CHAIN_TURN_SECONDS) as is_ours:
        if not (is_free and is_ours):
            return
        chains: dict[str, chain_watch.Heads] = {chain.name: chain for chain in hub().payout_chains}
        if hub().evm.is_configured:
            chains["evm"] = hub().evm
        found = list(chain_watch.look_at_heads(chains))
        if hub().settings.signer_socket_path.exists():
            found += chain_watch.look_at_wallets(hub().database, hub().payout_chains, hub().signer)
        shelf.note(hub().cache, "chains", found)


@shared_task(name="hub.watch_money")
def watch_money() -> None:
    """The ledger's sums: users' from their balances, the platform's from the entries since the last time."""
    with turn(hub().cache, "watch money", MONEY_TURN_SECONDS) as is_ours:
        if not is_ours:
            return
        counted, is_more = _read_books(), True
        while is_more:
            with hub().database.unit_of_work() as session:
                counted, is_more = watched.count_on(session, counted)
        _keep_books(counted)
        with hub().database.unit_of_work() as session:
            sums = watched.users_sums(session) | dict(counted.sums)
            size = Figure("database_size_bytes", watched.size_bytes(session))
        shelf.note(hub().cache, "money", [*watched.tell_sums(sums), size])


def _read_books() -> Counted:
    found = hub().cache.get(BOOKS_KEY)
    if not isinstance(found, str):
        return Counted()
    kept = json.loads(found)
    return Counted(kept["number"], uuid.UUID(kept["entry_id"]), {(kind, asset): minor for kind, asset, minor in kept["sums"]})


def _keep_books(counted: Counted) -> None:
    if counted.entry_id is not None:
        sums = [(*key, minor) for key, minor in counted.sums.items()]
        hub().cache.set(BOOKS_KEY, json.dumps({"number": counted.number, "entry_id": str(counted.entry_id), "sums": sums}))
