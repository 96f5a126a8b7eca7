"""Credits bought by card: what Stripe's events amount to, in whatever order and however often they come.

Nothing here depends on the order. An event counts once by its id, a payment once by its payment intent, and what was taken back
is always worked out anew from the newest word on each refund and dispute, under the payment's lock.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.config import Settings
from app.core import card_reversals, credits, ledger
from app.core.credits import ASSET
from app.core.ledger import Party
from app.errors import Conflict, NotFound, Refused
from app.models.accounts import Account
from app.models.card_payments import CardEvent, CardPayment
from app.values import card_events, clock
from app.values.card_events import Bought, Unreadable
from app.values.money import Money
from app.values.packages import Package, read_packages
from app.values.purposes import Purpose
from app.values.rates import read_table

APPLIED, IGNORED, PROBLEM = "applied", "ignored", "problem"
# References of the transfers that take credits back, beside the grants of core.credits.
TAKE_BACK = "credits:take-back:"
NAME_LIMIT_CHARS, LAST_SECOND = 255, 2**33
UNCREDITED_SECONDS = 3600  # so long may the event that names the buyer be late


@dataclass(frozen=True, slots=True)
class Terms:
    """What is sold, in which currency, and whether live money counts here or test money."""

    packages: Mapping[str, Package]
    currency: str
    is_live: bool


def read_terms(settings: Settings) -> Terms:
    """The terms that the settings name; ConfigError for packages that make no sense."""
    packages = read_packages(settings.credit_packages, read_table(settings.rates).usd(ASSET))
    return Terms(packages, settings.stripe_currency.strip().lower(), settings.takes_live_payments)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an event could not be applied, for the operator."""

    code: str
    message: str


def take(session: Session, event: Mapping[str, Any], body: str, terms: Terms) -> str:
    """Apply an event whose signature was checked; returns applied, ignored or problem.

    What can't be applied is kept with its `body` for the operator, and tried again when Stripe sends it again. Refused only for
    what is no event at all. Two that come at once wait for each other at the event's row and the payment's.
    """
    row = _event_row(session, event)
    if row.outcome != PROBLEM or row.ended_at is not None:
        return row.outcome
    return _attempt(session, row, event, body, terms)


def _event_row(session: Session, event: Mapping[str, Any]) -> CardEvent:
    """The event's row, locked. A new one is a problem until it was applied."""
    event_id, kind = event.get("id"), event.get("type")
    for found in (event_id, kind):
        if not isinstance(found, str) or not 0 < len(found) <= NAME_LIMIT_CHARS:
            raise Refused("the event must have an id and a type", code="EVENT_INVALID")
    values = {"id": event_id, "kind": kind, "outcome": PROBLEM, "happened_at": _moment(event), "created_at": clock.now()}
    session.execute(insert(CardEvent).values(values).on_conflict_do_nothing())
    return session.get_one(CardEvent, event_id, with_for_update=True)


def _attempt(session: Session, row: CardEvent, event: Mapping[str, Any], body: str, terms: Terms) -> str:
    found = _apply(session, row, event, terms)
    problem = found if isinstance(found, Problem) else None
    row.outcome = PROBLEM if problem else str(found)
    row.code, row.message, row.body = (problem.code, problem.message, body) if problem else (None, None, None)
    return row.outcome


def _apply(session: Session, row: CardEvent, event: Mapping[str, Any], terms: Terms) -> str | Problem:
    try:
        data = event.get("data")
        fact = card_events.read(row.kind, data.get("object") if isinstance(data, dict) else None)
    except Unreadable as error:
        return Problem("UNREADABLE", f"a {row.kind} that is not as Stripe describes it: {error}")
    if fact is None:
        return IGNORED
    row.payment = fact.payment
    if event.get("livemode", terms.is_live) is not terms.is_live:
        return Problem("LIVEMODE", f"only {'live' if terms.is_live else 'test'} events count here (STRIPE_LIVE)")
    if isinstance(fact, Bought):
        return _buy(session, _lock_payment(session, fact.payment), fact, row.kind, terms) or APPLIED
    if row.happened_at is None:
        return Problem("UNREADABLE", "the event's `created` is no time")  # of two words the later one holds
    payment = _lock_payment(session, fact.payment)
    card_reversals.note(session, fact, int(row.happened_at.timestamp()))
    _settle(session, payment)
    return APPLIED


def _lock_payment(session: Session, payment: str) -> CardPayment:
    session.execute(insert(CardPayment).values(id=payment, created_at=clock.now()).on_conflict_do_nothing())
    return session.get_one(CardPayment, payment, with_for_update=True)


def _buy(session: Session, payment: CardPayment, bought: Bought, kind: str, terms: Terms) -> Problem | None:
    """Credit the buyer, unless somebody was credited for this payment before."""
    if bought.buyer is None and bought.sku is None and kind.startswith("payment_intent."):
        if payment.credited_at is None:
            payment.paid_minor, payment.currency = bought.paid_minor or 0, bought.currency
        return None  # the checkout's own event says who bought what
    buyer = card_events.account_id(bought.buyer or "")
    if buyer is None or session.get(Account, buyer) is None:
        return Problem("UNKNOWN_USER", f"client_reference_id {bought.buyer!r} is nobody's account")
    if payment.credited_at is not None:
        is_same = (payment.account_id, payment.sku) == (buyer, bought.sku)
        return None if is_same else Problem("CONTRADICTION", f"{payment.sku} was credited to {payment.account_id} for it")
    package = terms.packages.get(bought.sku or "")
    if package is None:
        return Problem("UNKNOWN_SKU", f"metadata.sku {bought.sku!r} is not in CREDIT_PACKAGES")
    if bought.currency not in (None, terms.currency):
        return Problem("WRONG_CURRENCY", f"paid in {bought.currency!r}, sold in {terms.currency!r} (STRIPE_CURRENCY)")
    if bought.price_minor not in (None, package.price_minor):
        return Problem("WRONG_AMOUNT", f"{bought.price_minor} were paid for {package.sku}, which costs {package.price_minor}")
    _credit(session, payment, buyer, package, bought)
    _settle(session, payment)
    return None


def _credit(session: Session, payment: CardPayment, buyer: uuid.UUID, package: Package, bought: Bought) -> None:
    credits.grant(session, buyer, package.credits, f"stripe:{payment.id}", Purpose.PURCHASE, f"Stripe: {package.sku}")
    payment.account_id, payment.sku, payment.credits_minor = buyer, package.sku, package.credits.minor
    payment.paid_minor = package.price_minor if bought.paid_minor is None else bought.paid_minor
    payment.currency, payment.credited_at = bought.currency or payment.currency, clock.now()


def _settle(session: Session, payment: CardPayment) -> None:
    """Bring what was taken back of a credited payment to what its refunds and disputes amount to now."""
    if payment.credited_at is None or payment.account_id is None:
        return  # remembered; the purchase will find it
    reversed_minor = min(payment.paid_minor, card_reversals.total(session, payment.id))
    target_minor = payment.credits_minor * reversed_minor // payment.paid_minor
    change = Money(target_minor - payment.taken_minor, ASSET)
    if change.minor == 0:
        return
    payment.changes += 1
    payment.taken_minor = target_minor
    name = f"stripe:{payment.id}:{payment.changes}"
    if change.minor > 0:
        _take_back(session, payment.account_id, change, name)
    else:
        back = Money(-change.minor, ASSET)
        credits.grant(session, payment.account_id, back, name, Purpose.ADJUSTMENT, "Stripe: a refund or dispute came to nothing")


def _take_back(session: Session, account_id: uuid.UUID, amount: Money, name: str) -> None:
    """From the balance what it has; the rest is owed, and taken from whatever comes in next."""
    balance, debt, issued = Party("balance", account_id), Party("debt", account_id), Party("issued")
    there = ledger.take_up_to(session, balance, amount)
    for source, part, suffix in ((balance, there, "balance"), (debt, amount - there, "debt")):
        if part.minor:
            reference = f"{TAKE_BACK}{name}:{suffix}"
            ledger.post(session, source, issued, part, reference, purpose=Purpose.REFUND, description="Stripe: paid back by card")


def _moment(event: Mapping[str, Any]) -> datetime | None:
    created = event.get("created")
    return datetime.fromtimestamp(created, UTC) if type(created) is int and 0 <= created < LAST_SECOND else None


def problems(session: Session) -> Sequence[CardEvent]:
    """Events that an operator must look at, the oldest first."""
    query = select(CardEvent).where(CardEvent.outcome == PROBLEM, CardEvent.ended_at.is_(None))
    return session.scalars(query.order_by(CardEvent.created_at).limit(1000)).all()


def uncredited(session: Session) -> Sequence[CardPayment]:
    """Payments that came a while ago, and that nobody was credited for: another shop's, or their checkout's event is missing."""
    before = clock.now() - timedelta(seconds=UNCREDITED_SECONDS)
    query = select(CardPayment).where(CardPayment.credited_at.is_(None), CardPayment.created_at < before)
    return session.scalars(query.order_by(CardPayment.created_at.desc()).limit(1000)).all()


def problem(session: Session, event_id: str) -> CardEvent:
    """One open problem, locked; NotFound if it is none or was solved, a Conflict if it was put away."""
    row = session.get(CardEvent, event_id, with_for_update=True)
    if row is None or row.outcome != PROBLEM:
        raise NotFound(f"no open problem is called {event_id!r}: see `lightyard stripe problems`")
    if row.ended_at is not None:
        raise Conflict(f"{event_id} was put away on {row.ended_at:%Y-%m-%d}")
    return row


def retry(session: Session, event_id: str, event: Mapping[str, Any], terms: Terms) -> CardEvent:
    """Apply a problem's event again, now that the operator has mended what was wrong."""
    row = problem(session, event_id)
    _attempt(session, row, event, row.body or "", terms)
    return row


def put_away(session: Session, event_id: str) -> None:
    """The operator has dealt with it otherwise; the row stays, and the event never counts."""
    problem(session, event_id).ended_at = clock.now()
