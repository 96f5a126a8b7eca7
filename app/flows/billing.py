"""What accounts are told by themselves: top-ups that are due, and the invoices of months that are over."""

import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import structlog

from app.config import Settings
from app.core import invoices, payment_methods, solana_hub
from app.core.solana_hub import SolanaHub
from app.db import Database
from app.values import clock

log = structlog.get_logger()
MEMO_PREFIX = "robocompute:"  # of a deposit's memo on the chain


def keep_up(database: Database, settings: Settings) -> tuple[int, int]:
    """Have the hub's wallet looked at, ask for the top-ups that are due, issue the invoices that are due. Returns how many of
    each; harmless to repeat, and by two at once."""
    hub, month = solana_hub.read(settings), invoices.month_start(clock.now())
    with database.unit_of_work() as session:
        solana_hub.watch(session, hub, tuple(hub.mints))
        low = payment_methods.due(session) if hub.wallet else []
        charged = invoices.due(session, month)
    topups = _each(lambda account_id: _ask(database, hub, account_id), [(account_id,) for account_id in low])
    issued = _each(lambda account_id, asset: _issue(database, account_id, asset, month, settings.seller), charged)
    return topups, issued


def _each(act: Callable[..., bool], items: Iterable[tuple[Any, ...]]) -> int:
    """An account that fails is logged, still due, and tried again; the others must not wait for it."""
    done = 0
    for item in items:
        try:
            done += act(*item)
        except Exception:  # noqa: BLE001
            log.exception("billing.not_done", account_id=str(item[0]))
    return done


def _ask(database: Database, hub: SolanaHub, account_id: uuid.UUID) -> bool:
    with database.unit_of_work() as session:
        return payment_methods.ask_topup(session, hub, account_id, MEMO_PREFIX) is not None


def _issue(database: Database, account_id: uuid.UUID, asset: str, before: datetime, seller: str) -> bool:
    with database.unit_of_work() as session:
        return invoices.issue(session, account_id, asset, before, seller) is not None
