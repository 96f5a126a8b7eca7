"""The hub's Celery tasks: an id in, nothing out, thin. Each is harmless to repeat."""

import uuid
from functools import cache

import structlog
from celery import shared_task

from app import outbox
from app.config import load
from app.core import accounts, ledger, outcomes, payments
from app.errors import LightyardError
from app.flows import payments as payment_flows
from app.flows import push
from app.wiring import Hub, build

log = structlog.get_logger()
TOPICS = {"payments.verify", "jobs.push"}
NEVER_SEEN_SECONDS = 600


@cache
def hub() -> Hub:
    """This process's parts, made on first use so that a forked child makes its own."""
    return build(load())


def _done(message_id: str | None) -> None:
    if message_id is not None:
        with hub().database.unit_of_work() as session:
            outbox.forget(session, uuid.UUID(message_id))


@shared_task(name="hub.payments.verify")
def verify_payment(key: str, message_id: str | None = None) -> None:
    """Ask the chain about one transaction; what it does not know yet, a sweep asks again."""
    payment_flows.verify(hub().database, hub().chain, uuid.UUID(key))
    _done(message_id)


@shared_task(name="hub.jobs.push")
def push_job(key: str, message_id: str | None = None) -> None:
    """Hand a paid job to its provider's own software, where it has no node of ours."""
    push.push(hub().database, hub().store, hub().outbound, hub().settings, uuid.UUID(key))
    _done(message_id)


@shared_task(name="hub.sweep")
def sweep() -> None:
    """Everything that must happen though a message was lost: leases, rings, outbox, payments."""
    settings, database = hub().settings, hub().database
    limits = settings.max_failures, settings.max_attempts
    with database.unit_of_work() as session:
        outcomes.expire_leases(session, limits)
        outcomes.ring_again(session, settings.ring_again_seconds)
    with database.unit_of_work() as session:
        outcomes.end_noted_failures(session)
    with database.unit_of_work() as session:
        waiting = outbox.take_waiting(session)
        for topic, key in waiting:
            outbox.resend(session, topic, key)


@shared_task(name="hub.sweep_payments")
def sweep_payments() -> None:
    """Ask the chain again about undecided transactions, and find payments that nobody told us of."""
    with hub().database.unit_of_work() as session:
        pending = payments.pending(session)
    for transaction_id in pending:
        try:
            payment_flows.verify(hub().database, hub().chain, transaction_id)
        except LightyardError as error:
            if not error.retryable:
                raise
            log.warning("payments.chain_away", error=error.message)
            return
    payment_flows.find_unannounced(hub().database, hub().chain)
    with hub().database.unit_of_work() as session:
        payments.give_up(session, NEVER_SEEN_SECONDS)


@shared_task(name="hub.sweep_pushes")
def sweep_pushes() -> None:
    """Push again what a provider was too busy for."""
    push.push_waiting(hub().database, hub().store, hub().outbound, hub().settings)


@shared_task(name="hub.keep_books")
def keep_books() -> None:
    """Number the ledger's entries, and hold the books against themselves."""
    with hub().database.unit_of_work() as session:
        ledger.number_entries(session)
        accounts.forget_used_messages(session)
    with hub().database.unit_of_work() as session:
        differences = ledger.differences(session)
    if differences:
        log.error("ledger.differences", differences=differences[:20], count=len(differences))
