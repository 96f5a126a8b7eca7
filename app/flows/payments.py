"""Verify what clients say they paid: read the expectation, ask the chain, book the verdict."""

import uuid
from collections import defaultdict
from typing import Protocol

from app.core import payments
from app.core.payments import Decision
from app.db import Database
from app.values.chain import Sighting
from app.values.payment_check import judge


class Chain(Protocol):
    """What these flows ask of a chain; ChainUnavailable means that nothing is known."""

    def sighting(self, signature: str) -> Sighting | None: ...

    def signatures_for(self, address: str, limit: int = 100) -> list[tuple[str, str | None]]: ...


def verify(database: Database, chain: Chain, transaction_id: uuid.UUID) -> str:
    """Decide one shown transaction if the chain can; returns its state. Harmless to repeat, and by two at once."""
    with database.unit_of_work() as session:
        expected = payments.expectation(session, transaction_id)
    if expected is None:
        return "decided"
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
    decision = Decision(verdict.state, verdict.code, verdict.message, verdict.received_minor, verdict.payer)
    with database.unit_of_work() as session:
        return str(payments.decide(session, transaction_id, decision).state)


def find_unannounced(database: Database, chain: Chain) -> int:
    """Look on the chain for open payments that nobody told us of, by their memo. Returns how many were found."""
    with database.unit_of_work() as session:
        awaited = payments.awaited(session)
    by_payee: dict[str, list[tuple[uuid.UUID, str]]] = defaultdict(list)
    for payment_id, pay_to, memo in awaited:
        by_payee[pay_to].append((payment_id, memo))
    found = 0
    for pay_to, wanted in by_payee.items():
        for signature, shown in chain.signatures_for(pay_to):
            for payment_id, ours in wanted:
                if shown and ours in shown:
                    found += _present(database, payment_id, signature)
    return found


def _present(database: Database, payment_id: uuid.UUID, signature: str) -> int:
    with database.unit_of_work() as session:
        return payments.present_found(session, payment_id, signature)
