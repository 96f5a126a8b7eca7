"""Verify what clients say they paid: read the expectation, ask the chain, book the verdict."""

import uuid
from typing import Protocol

import structlog

from app import trail
from app.core import chain_cursors, discovery, payments
from app.core.chain_cursors import Address
from app.core.payments import Decision, Expected
from app.db import Database
from app.errors import ChainUnreadable
from app.failpoints import failpoint
from app.values.chain import Sighting
from app.values.payment_check import judge

log = structlog.get_logger()
PAGE, PAGES = 1000, 100


class Chain(Protocol):
    """What these flows ask of a chain; ChainUnavailable means that nothing is known."""

    def sighting(self, signature: str) -> Sighting | None: ...

    def signatures_for(
        self, address: str, until: str | None = None, before: str | None = None
    ) -> list[tuple[str, str | None]]: ...


def verify(database: Database, chain: Chain, transaction_id: uuid.UUID) -> str:
    """Decide one shown transaction if the chain can; returns its state. Harmless to repeat, and by two at once."""
    with database.unit_of_work() as session:
        expected = payments.expectation(session, transaction_id)
    if expected is None:
        return "decided"
    ids = {"payment_id": str(expected.payment_id), "job_id": None if expected.job_id is None else str(expected.job_id)}
    with trail.resumed("verify payment", expected.request_id, expected.traceparent, **ids):
        return _verify(database, chain, transaction_id, expected)


def _verify(database: Database, chain: Chain, transaction_id: uuid.UUID, expected: Expected) -> str:
    failpoint("payment.presented")
    seen = chain.sighting(expected.signature)
    if seen is None:
        return "pending"
    verdict = judge(
        seen,
        pay_to=expected.pay_to,
        mint=expected.mint,
        amount_minor=expected.amount_minor,
        memo=expected.memo,
        created_at=expected.created_at,
        expires_at=expected.expires_at,
    )
    failpoint("payment.sighted")
    decision = Decision(verdict.state, verdict.code, verdict.message, verdict.received_minor, verdict.payer)
    with database.unit_of_work() as session:
        state = str(payments.decide(session, transaction_id, decision).state)
        failpoint("payment.booking")
    log.info("payment.decided", tx_hash=expected.signature, state=state, code=verdict.code)
    return state


def find_unannounced(database: Database, chain: Chain) -> int:
    """Read payees' addresses on from where we stopped, and show what carries our memos. Returns how many were found.

    An address whose list can't be read is read on the next time; it keeps no other from being read.
    """
    with database.unit_of_work() as session:
        places = chain_cursors.due(session)
    found = 0
    for place in places:
        try:
            seen = _read_on(chain, place)
        except ChainUnreadable as error:
            log.warning("payments.address_not_read", address=place.address, error=error.message)
            continue
        with database.unit_of_work() as session:
            found += discovery.note_read(session, place, seen, seen[0][0] if seen else None)
    return found


def _read_on(chain: Chain, place: Address) -> list[tuple[str, str | None]]:
    """Everything after the cursor, newest first, page by page; the first look at an address takes one page."""
    seen = chain.signatures_for(place.address, until=place.signature)
    page = seen
    while place.signature is not None and len(page) >= PAGE and len(seen) < PAGES * PAGE:
        page = chain.signatures_for(place.address, until=place.signature, before=page[-1][0])
        seen += page
    return seen
