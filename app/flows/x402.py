"""Payments by x402: have a client's transaction signed and sent, and follow it until the chain has decided.

Every step may be done twice, by two at once, or be cut short. What is signed may land whatever was heard of it, so nothing is
failed for silence: the same bytes are sent again until they have landed or can't any more.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol, TypeVar

import structlog

from app.core import x402_settlements
from app.core.x402_settlements import LIVE, RECEIVED, SIGNED
from app.db import Database
from app.errors import ChainUnreadable, LightyardError
from app.failpoints import failpoint
from app.flows import payments
from app.flows.payments import Chain as Payments
from app.models.x402 import X402Settlement
from app.values import clock
from app.values.payouts import Fate, Refusal, Refused, Signing, Terms
from app.values.states import SigningOutcome
from app.values.x402 import FEE_PER_SIGNATURE, SIGNERS, signature_of

T = TypeVar("T")
log = structlog.get_logger()
RENT_LAMPORTS = 890_880  # a wallet must keep so much, or every transaction that it pays for fails
LEAST_LAMPORTS = RENT_LAMPORTS + 100 * SIGNERS * FEE_PER_SIGNATURE  # with less it is as good as empty
UNKNOWN_FOR = timedelta(hours=1)  # so long after it was signed nobody waits for a node's word any more, once its end is past
RECEIVED_FOR = timedelta(seconds=150)  # its block hash is as good as gone then
DESK_SECONDS = 60  # the wallet that pays fees is looked at so often
TAKEN_SECONDS = 5  # whoever took a settlement has had his chance then
LOOK_SECONDS = 0.5  # how often a request looks at the chain that waits for its payment
HEAR_SECONDS = 3.0  # one wait for a signal; the cache's connection gives up a little later
SIMULATION_FAILED = "transaction_simulation_failed"


class Chain(Protocol):
    """What these flows ask of Solana; ChainUnavailable means that nothing is known."""

    def network(self) -> str: ...

    def lamports(self, address: str) -> int: ...

    def problem(self, raw: bytes) -> str | None: ...

    def terms(self, blockhash: str) -> Terms: ...

    def send(self, raw: bytes) -> str: ...

    def fate(self, signing: Signing) -> Fate: ...

    def is_past(self, terms: Terms) -> bool: ...


class Signer(Protocol):
    """Whoever holds the key of the wallet that pays fees. The same transaction gets the same signature."""

    def fee_payer(self) -> str | None: ...

    def cosign(self, raw: bytes) -> bytes | Refused: ...


class Signals(Protocol):
    def wait(self, key: str, seconds: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Facilitator:
    """Settles what clients hand over, with the fee paid by the hub."""

    database: Database
    chain: Chain
    payments: Payments
    signer: Signer

    def open_desk(self) -> None:
        """Say now and then which wallet pays fees, so that payments by x402 are offered."""
        with self.database.unit_of_work() as session:
            if x402_settlements.is_desk_known(session, DESK_SECONDS, LEAST_LAMPORTS):
                return
        address = self.signer.fee_payer()
        if address is None:
            return
        network, lamports = self.chain.network(), self.chain.lamports(address)
        with self.database.unit_of_work() as session:
            before = x402_settlements.note_fee_payer(session, address, network, lamports)
        if lamports < LEAST_LAMPORTS and (before is None or before >= LEAST_LAMPORTS):
            log.error("x402.fee_payer_short", wallet=address, lamports=lamports)

    def settle(self, settlement_id: uuid.UUID) -> None:
        """Sign and send one that was received, unless it would fail; ChainUnavailable or a signer that is away leaves it as it
        is."""
        with self.database.unit_of_work() as session:
            row = x402_settlements.get(session, settlement_id)
        if row.state != RECEIVED:
            return
        if row.created_at < clock.now() - RECEIVED_FOR:
            self._refuse(row.id, "not_settled", "it could not be sent in time, and was not; sign a new one")
            return
        problem = self.chain.problem(row.raw)
        if problem is not None:
            self._refuse(row.id, SIMULATION_FAILED, f"the transaction would fail: {problem}")
            return
        terms = self.chain.terms(row.blockhash)
        answer = self.signer.cosign(row.raw)
        if isinstance(answer, Refused):
            is_spent = answer.reason == Refusal.DAY_LIMIT
            code = "fee_payer_exhausted" if is_spent else "invalid_exact_svm_payload"
            self._refuse(row.id, code, "the hub pays no more fees today; pay by memo" if is_spent else answer.message)
            return
        failpoint("x402.signed")
        with self.database.unit_of_work() as session:
            signing = x402_settlements.note_signed(session, row.id, answer, signature_of(answer), terms)
        if signing is not None:
            failpoint("x402.stored")
            self._send(signing)

    def _refuse(self, settlement_id: uuid.UUID, code: str, message: str) -> None:
        with self.database.unit_of_work() as session:
            x402_settlements.refuse(session, settlement_id, code, message)
        log.info("x402.refused", settlement_id=str(settlement_id), code=code)

    def _send(self, signing: Signing) -> None:
        answer = self.chain.send(signing.signed.raw)
        failpoint("x402.sent")
        with self.database.unit_of_work() as session:
            x402_settlements.note_sent(session, signing.id)
        log.info("x402.sent", tx_hash=signing.signed.tx_hash, answer=answer[:200])

    def follow_signed(self) -> None:
        """Send again what no node knows, book what has landed, end what can't any more."""
        with self.database.unit_of_work() as session:
            undecided = x402_settlements.undecided(session)
        for signing in undecided:
            self._alone(self._follow, signing)

    def follow_received(self) -> None:
        """Sign what was left lying, and refuse what has lain for too long."""
        with self.database.unit_of_work() as session:
            waiting = x402_settlements.waiting(session, TAKEN_SECONDS)
        for settlement_id in waiting:
            self._alone(self.settle, settlement_id)

    def _alone(self, step: Callable[[T], None], item: T) -> None:
        """One that a node can make nothing of keeps no other waiting; a node or a signer that is away does."""
        try:
            step(item)
        except ChainUnreadable as error:
            log.warning("x402.not_readable", error=error.message)

    def _follow(self, signing: Signing) -> None:
        fate = self.chain.fate(signing)
        if fate.outcome is None:
            fate = self._end(signing, fate)
        if fate.outcome is None:
            if not fate.is_known:
                self._send(signing)
            return
        with self.database.unit_of_work() as session:
            shown_id = x402_settlements.decide(session, signing.id, fate)
        log.info("x402.decided", tx_hash=signing.signed.tx_hash, outcome=fate.outcome, error=fate.error)
        if shown_id is not None:
            payments.verify(self.database, self.payments, shown_id)

    def _end(self, signing: Signing, fate: Fate) -> Fate:
        """What nodes can't agree about, its payment may have been judged by. What none of them knows so long after its end is
        over, though their history may not reach back to it: its payer may pay anew, and should it be found after all, it is
        booked as whatever else comes with the payment's memo."""
        with self.database.unit_of_work() as session:
            judged = x402_settlements.judged(session, signing.id)
            is_old = x402_settlements.is_signed_before(session, signing.id, clock.now() - UNKNOWN_FOR)
        if judged is not None:
            return replace(fate, outcome=judged)
        if is_old and not fate.is_known and self.chain.is_past(signing.signed.terms):
            return Fate(SigningOutcome.EXPIRED, error="no node has it, long after its block hash expired")
        return fate

    def follow_if_possible(self) -> None:
        """What a sweep does; who is away is said, keeps no other step from being done, and is asked again by the next."""
        for step in (self.open_desk, self.follow_signed, self.follow_received):
            try:
                step()
            except LightyardError as error:
                if not error.retryable:
                    raise
                log.warning("x402.not_now", error=error.message)


def wait(database: Database, chain: Payments, signals: Signals, settlement_id: uuid.UUID, seconds: float) -> X402Settlement:
    """Wait until a settlement's payment is booked, or it has ended otherwise, or the time is up; returns how it stands."""
    key, deadline = x402_settlements.signal_key(settlement_id), time.monotonic() + seconds
    for _ in range(int(seconds / LOOK_SECONDS) + 2):
        with database.read_only() as session:
            row = x402_settlements.get(session, settlement_id)
            shown_id = x402_settlements.shown_id(session, row) if row.state != RECEIVED else None
        left = deadline - time.monotonic()
        if row.state not in LIVE or left <= 0:
            return row
        if row.state == SIGNED and shown_id is not None and _is_booked(database, chain, shown_id):
            return row
        signals.wait(key, min(left, LOOK_SECONDS if row.state == SIGNED else HEAR_SECONDS))
    return row


def _is_booked(database: Database, chain: Payments, shown_id: uuid.UUID) -> bool:
    """Whether the chain has decided about the transaction as a payment."""
    try:
        return payments.verify(database, chain, shown_id) != "pending"
    except LightyardError as error:
        if not error.retryable:
            raise
        return False
