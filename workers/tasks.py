"""The hub's tasks that somebody orders: an id in, nothing out, thin. Each is harmless to repeat."""

import threading
import uuid

import structlog
from celery import shared_task

from app.adapters.pace import PushPace
from app.errors import LightyardError
from app.flows import disputes, payments, push, retention, stitching
from workers.parts import forget, hub
from workers.seats import seat

log = structlog.get_logger()
_one_stitch = threading.Lock()  # of the largest pictures, several at once would be more than a worker's memory


@shared_task(name="hub.payments.verify")
def verify_payment(key: str, message_id: str | None = None) -> None:
    """Ask the chain about one transaction; what it does not know yet, a sweep asks again."""
    with seat("payments") as is_free:
        try:
            if is_free:
                payments.verify(hub().database, hub().chain, uuid.UUID(key))
        except LightyardError as error:
            if not error.retryable:
                raise
            log.warning("payments.not_now", transaction_id=key, error=error.message)
    forget(message_id)


@shared_task(name="hub.x402.settle")
def settle_x402(key: str, message_id: str | None = None) -> None:
    """Sign and send a transaction that was handed over; what can't be done now, a sweep does."""
    with seat("x402") as is_free:
        try:
            if is_free:
                hub().facilitator.settle(uuid.UUID(key))
        except LightyardError as error:
            if not error.retryable:
                raise
            log.warning("x402.not_now", settlement_id=key, error=error.message)
    forget(message_id)


@shared_task(name="hub.jobs.push")
def push_job(key: str, message_id: str | None = None) -> None:
    """Hand a paid job to its provider's own software, where it has no node of ours; a sweep tries again."""
    with seat("providers") as is_free:
        if is_free:
            push.push(hub().database, hub().store, hub().outbound, PushPace(hub().cache), hub().settings, uuid.UUID(key))
    forget(message_id)


@shared_task(name="hub.scenes.delete")
def delete_scene(key: str, message_id: str | None = None) -> None:
    """Delete the file of a quote that was withdrawn unpaid."""
    retention.delete_scene(hub().database, hub().store, uuid.UUID(key))
    forget(message_id)


@shared_task(name="hub.probes.delete")
def delete_probe(key: str, message_id: str | None = None) -> None:
    """Delete the picture of a probe, which nobody ordered."""
    retention.delete_probe(hub().database, hub().store, uuid.UUID(key))
    forget(message_id)


@shared_task(name="hub.disputes.check")
def check_dispute(key: str, message_id: str | None = None) -> None:
    """Read a disputed result once more, for whoever decides."""
    disputes.check(hub().database, hub().store, uuid.UUID(key))
    forget(message_id)


@shared_task(name="hub.renders.stitch")
def stitch_tiles(key: str, message_id: str | None = None) -> None:
    """Put the tiles of a still together; while another worker is at it, or this one stitches another, the order stays."""
    if not _one_stitch.acquire(blocking=False):
        return
    try:
        became = stitching.stitch(hub().database, hub().store, uuid.UUID(key))
    finally:
        _one_stitch.release()
    if became != stitching.BUSY:
        forget(message_id)


@shared_task(name="hub.renders.delete_tiles")
def delete_tiles(key: str, message_id: str | None = None) -> None:
    """Delete the tiles of a still whose job is over."""
    retention.delete_tiles(hub().database, hub().store, uuid.UUID(key))
    forget(message_id)
