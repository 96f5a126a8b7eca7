"""Payouts: what an account has becomes money on its way to a wallet, once per reference.

The amount leaves `balance` when the payout is made and lies in `payout` until the chain decided: then it has left the ledger
(`chain`), or, where it was provably never paid and is cancelled, it is back.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import ColumnElement, RowMapping, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import counts
from app.core import ledger, payout_addresses, settlement
from app.core.ledger import Party
from app.db import after_commit
from app.errors import Conflict, InvalidInput, NotFound, Refused
from app.models.payouts import Payout, PayoutSigning, PayoutSigningItem
from app.values import clock
from app.values.money import MAX_MINOR, Money
from app.values.payouts import TON, Fate, chain_of
from app.values.states import PayoutState, advance

log = structlog.get_logger()
ENGINE, RECORDED = "engine", "recorded"
ALREADY_RECORDED = "ALREADY_RECORDED"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a payout is for, as its participant and the tax office are told. Rates are US dollars for one whole unit."""

    participant_id: int | None = None
    amount_usd: Decimal | None = None
    usd_rate: Decimal | None = None
    usd_rate_source: str | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    total_requests: int | None = None
    total_compute_time_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class PayoutRules:
    """`opens_from`: payouts below it are not worth the rent of a payee's new token account, by asset; none: all are."""

    minimums: Mapping[str, Money]
    cool_off_hours: int
    opens_from: Mapping[str, Money] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which payouts are meant; None does not narrow. `since` and `until` are moments: of the transaction, else of the row."""

    account_id: uuid.UUID | None = None
    participant_id: int | None = None
    chain: str | None = None
    asset: str | None = None
    is_confirmed: bool | None = None
    origin: str | None = None
    is_held: bool | None = None
    is_delayed: bool | None = None
    states: tuple[PayoutState, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A payout that somebody else made. `tx_hash` in canonical form (values.payouts.read_transaction_hash)."""

    tx_hash: str
    amount: Money
    destination: str
    source: str | None
    transaction_time: datetime
    facts: Facts = field(default_factory=Facts)


def request(
    session: Session,
    account_id: uuid.UUID,
    money: Money,
    reference: str,
    rules: PayoutRules,
    destination: str | None = None,
    facts: Facts | None = None,
) -> Payout:
    """Take `money` off the account's balance and put it on its way; the engine does the rest.

    `reference` (with a namespace: `cocoon:proposal:7`) is one earning: asked for again, its payout is returned as it is, and
    other values are a Conflict. Without `destination` it goes to the account's payout address; one that is given must be a wallet
    of the account's, in canonical form. PaymentRequired when the balance is short, Refused below the minimum or without address.
    """
    known = session.scalars(select(Payout).where(Payout.reference == reference)).one_or_none()
    if known is not None:
        return _same(known, account_id, money)
    chain = chain_of(money.asset)
    least = rules.minimums[money.asset]
    if not 0 < money.minor <= MAX_MINOR or money < least:
        raise Refused(f"the smallest payout is {least} {money.asset}; {money} was asked for", code="PAYOUT_TOO_SMALL")
    to = payout_addresses.destination(session, account_id, chain, destination, rules.cool_off_hours)
    made = _insert(session, account_id, money, reference, chain, to, facts or Facts(), uuid.uuid4())
    if made is None:
        found = session.scalars(select(Payout).where(Payout.reference == reference)).one()
        return _same(found, account_id, money)
    settlement.lock(session, {account_id: ("balance", "payout")}, money.asset)
    settlement.settle_debts(session, account_id, money.asset)  # whom it owes comes first
    ledger.post(session, Party("balance", account_id), Party("payout", account_id), money, f"payout:{made}:taken")
    ids = {"payout_id": str(made), "account_id": str(account_id), "chain": chain}
    after_commit(session, lambda: log.info("payout.requested", **ids, amount=str(money), reference=reference))
    return session.get_one(Payout, made)


def _insert(
    session: Session,
    account_id: uuid.UUID,
    money: Money,
    reference: str,
    chain: str,
    to: str,
    facts: Facts,
    payout_id: uuid.UUID,
) -> uuid.UUID | None:
    row = {
        "id": payout_id,
        "origin": ENGINE,
        "state": PayoutState.CREATED,
        "account_id": account_id,
        "chain": chain,
        "asset": money.asset,
        "amount_minor": money.minor,
        "destination": to,
        "memo": str(payout_id),
        "reference": reference,
        "confirmations": 0,
        "is_confirmed": False,
        "failures": 0,
        "created_at": clock.now(),
        **_columns(facts),
    }
    statement = insert(Payout).values(row).on_conflict_do_nothing(index_elements=["reference"]).returning(Payout.id)
    return session.scalar(statement)


def _columns(facts: Facts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in Facts.__slots__}


def _same(known: Payout, account_id: uuid.UUID, money: Money) -> Payout:
    if (known.account_id, known.asset, known.amount_minor) != (account_id, money.asset, money.minor):
        raise Conflict(f"reference {known.reference} was paid out with other values", code="REFERENCE_REUSED")
    return known


_DUE = text("""
SELECT DISTINCT ON (a.account_id, l.asset) a.account_id, l.asset, a.address
FROM payout_addresses a JOIN ledger_accounts l ON l.owner_id = a.account_id AND l.kind = 'balance'
WHERE a.chain = :chain AND a.is_automatic AND a.revoked_at IS NULL AND a.usable_at <= :now
    AND l.asset = :asset AND l.balance_minor >= :least
    AND (l.balance_minor >= :enough OR NOT EXISTS (SELECT 1 FROM payouts p
        WHERE p.account_id = a.account_id AND p.asset = l.asset AND p.look_again_at IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM payout_addresses b WHERE b.account_id = a.account_id AND b.chain = a.chain
        AND b.revoked_at IS NULL AND b.usable_at <= :now AND b.created_at > a.created_at)
ORDER BY a.account_id, l.asset, a.created_at DESC LIMIT :most
""")


def due(session: Session, asset: str, least: Money, enough: Money | None = None, most: int = 200) -> list[uuid.UUID]:
    """Accounts whose balance is to be paid out by itself: their newest usable address is automatic, and they have the minimum.

    Where an earlier payout waits for the payee's token account, the balance gathers until there is `enough` to open that.
    """
    amounts = {"least": max(1, least.minor), "enough": enough.minor if enough is not None else 0}
    values = {"chain": chain_of(asset), "now": clock.now(), "asset": asset, "most": most, **amounts}
    return [row.account_id for row in session.execute(_DUE, values)]


def open_due(session: Session, account_id: uuid.UUID, asset: str, rules: PayoutRules) -> Payout | None:
    """Pay out all that the account has now; None when that is too little by now, or its newest address is not automatic."""
    address = payout_addresses.usable(session, account_id, chain_of(asset))
    has = ledger.take_up_to(session, Party("balance", account_id), Money(MAX_MINOR, asset))
    if address is None or not address.is_automatic or has < rules.minimums[asset] or has.minor == 0:
        return None
    return request(session, account_id, has, f"due:{uuid.uuid4()}", rules)


def cancel(session: Session, payout_id: uuid.UUID) -> Payout:
    """Give an unpaid payout's money back; Conflict while a transaction with it may still reach the chain."""
    payout = locked(session, payout_id)
    payout.state = advance(PayoutState(payout.state), PayoutState.CANCELLED)
    payout.delayed_reason = payout.look_again_at = None
    if payout.origin == ENGINE:
        money = Money(payout.amount_minor, payout.asset)
        account = payout.account_id
        ledger.post(session, Party("payout", account), Party("balance", account), money, f"payout:{payout.id}:returned")
    return payout


def enter(session: Session, payout_id: uuid.UUID, account_id: uuid.UUID, money: Money, destination: str) -> Payout:
    """Write a payout down again that a restored backup has lost, by the id that its transaction carries as its memo.

    Its amount leaves the balance, and it is held until it is booked as paid: it is never signed. Conflict for one that is known.
    """
    if money.minor <= 0:
        raise InvalidInput("a payout is more than zero")
    made = None
    if session.get(Payout, payout_id) is None:
        reference, chain = f"entered:{payout_id}", chain_of(money.asset)
        made = _insert(session, account_id, money, reference, chain, destination, Facts(), payout_id)
    if made is None:
        raise Conflict(f"payout {payout_id} is in the books: look at it, and book it", code="PAYOUT_KNOWN")
    ledger.post(session, Party("balance", account_id), Party("payout", account_id), money, f"payout:{made}:taken")
    hold(session, made, "entered after it was paid: book it")
    return session.get_one(Payout, made)


def book(session: Session, payout_id: uuid.UUID, fate: Fate) -> Payout:
    """An operator has seen on the chain that a payout was paid: it leaves the ledger, and is never paid again.

    Conflict while a transaction with it is undecided, and for one that has ended.
    """
    payout = locked(session, payout_id)
    if payout.origin != ENGINE or payout.state not in (PayoutState.CREATED, PayoutState.EXPIRED):
        raise Conflict(f"payout {payout.number} is {payout.state}: only what may be signed yet is booked by hand")
    book_paid(session, payout, fate)
    return payout


def book_paid(session: Session, payout: Payout, fate: Fate) -> None:
    """A payout has reached its destination, as `fate` says: what it was has left the ledger."""
    payout.state = advance(PayoutState(payout.state), PayoutState.CONFIRMED)
    payout.is_confirmed, payout.confirmed_at, payout.held_reason = True, clock.now(), None
    payout.delayed_reason = payout.look_again_at = None
    payout.tx_hash, payout.block_number, payout.transaction_time = fate.landed_hash, fate.block_number, fate.block_time
    payout.confirmations = max(1, payout.confirmations)
    seconds, chain = (payout.confirmed_at - payout.created_at).total_seconds(), payout.chain
    after_commit(session, lambda: counts.observe("payout_seconds", seconds, chain))
    money = Money(payout.amount_minor, payout.asset)
    ledger.post(session, Party("payout", payout.account_id), Party("chain"), money, f"payout:{payout.id}:paid")


def retry(session: Session, payout_id: uuid.UUID) -> Payout:
    """Let a payout that was held be signed again; where it waits for its payee, the chain is looked at again at once."""
    payout = locked(session, payout_id)
    if payout.held_reason is None and payout.look_again_at is None:
        raise Refused("this payout is not held: nothing keeps it from being paid", code="PAYOUT_NOT_HELD")
    if payout.held_reason is not None:
        payout.held_reason, payout.failures = None, 0
    payout.delayed_reason = payout.look_again_at = None
    return payout


def reason(payout: Payout) -> str | None:
    """What an open payout waits for, as its payee is told; None where it just takes its way."""
    if payout.delayed_reason is not None:
        return payout.delayed_reason
    return None if payout.held_reason is None else "held: an operator looks into it"


def hold(session: Session, payout_id: uuid.UUID, reason: str) -> None:
    """Keep a payout from being signed until an operator has looked at it."""
    locked(session, payout_id).held_reason = reason[:500]


def recorded(session: Session, account_id: uuid.UUID, record: Record) -> Payout:
    """Write down a payout that was made elsewhere, on TON. The engine never pays it; it counts once the chain shows it.

    Conflict ALREADY_RECORDED for a transaction that is known, whoever made it.
    """
    if record.amount.asset != "TON" or record.amount.minor <= 0:
        raise InvalidInput("a recorded payout is an amount of TON above 0")
    if session.scalar(select(Payout.id).where(Payout.chain == TON, Payout.tx_hash == record.tx_hash).limit(1)) is not None:
        raise Conflict("Transaction already recorded", code=ALREADY_RECORDED)
    payout_id = uuid.uuid4()
    row = {
        "id": payout_id,
        "origin": RECORDED,
        "state": PayoutState.CREATED,
        "account_id": account_id,
        "chain": TON,
        "asset": record.amount.asset,
        "amount_minor": record.amount.minor,
        "destination": record.destination,
        "source": record.source,
        "memo": str(payout_id),
        "reference": f"recorded:{record.tx_hash}",
        "tx_hash": record.tx_hash,
        "transaction_time": record.transaction_time,
        "confirmations": 0,
        "is_confirmed": False,
        "failures": 0,
        "created_at": clock.now(),
        **_columns(record.facts),
    }
    made = session.scalar(insert(Payout).values(row).on_conflict_do_nothing().returning(Payout.id))
    if made is None:
        raise Conflict("Transaction already recorded", code=ALREADY_RECORDED)
    return session.get_one(Payout, made)


def locked(session: Session, payout_id: uuid.UUID) -> Payout:
    """The payout, its row locked until the unit of work ends."""
    query = select(Payout).where(Payout.id == payout_id).with_for_update()
    found = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if found is None:
        raise NotFound("no such payout")
    return found


def get(session: Session, number: int) -> Payout | None:
    """By the integer that users know."""
    return session.scalars(select(Payout).where(Payout.number == number)).one_or_none() if 0 < number < 2**63 else None


def signings_of(session: Session, payout_id: uuid.UUID) -> list[PayoutSigning]:
    """Every transaction that was signed for a payout, the oldest first."""
    query = select(PayoutSigning).join(PayoutSigningItem, PayoutSigningItem.signing_id == PayoutSigning.id)
    return list(session.scalars(query.where(PayoutSigningItem.payout_id == payout_id).order_by(PayoutSigning.created_at)))


def listed(session: Session, wanted: Filter, limit: int, offset: int = 0) -> list[Payout]:
    """Payouts, the newest first."""
    query = select(Payout).where(*_conditions(wanted)).order_by(Payout.number.desc()).limit(limit).offset(offset)
    return list(session.scalars(query))


def page_after(session: Session, wanted: Filter, number: int, limit: int = 1000) -> list[Payout]:
    """The next payouts in the order of their numbers: what a stream reads page by page, each in a unit of work of its own."""
    query = select(Payout).where(Payout.number > number, *_conditions(wanted))
    return list(session.scalars(query.order_by(Payout.number).limit(limit)))


def summary(session: Session, wanted: Filter) -> RowMapping:
    """total_payouts, confirmed_payouts, amount_minor, confirmed_minor, amount_usd, first_payout, last_payout."""
    moment = func.coalesce(Payout.transaction_time, Payout.created_at)
    query = select(
        func.count().label("total_payouts"),
        func.count().filter(Payout.is_confirmed).label("confirmed_payouts"),
        func.coalesce(func.sum(Payout.amount_minor), 0).label("amount_minor"),
        func.coalesce(func.sum(Payout.amount_minor).filter(Payout.is_confirmed), 0).label("confirmed_minor"),
        func.sum(Payout.amount_usd).label("amount_usd"),
        func.min(moment).label("first_payout"),
        func.max(moment).label("last_payout"),
    )
    return session.execute(query.where(*_conditions(wanted))).mappings().one()


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    moment = func.coalesce(Payout.transaction_time, Payout.created_at)
    conditions: list[ColumnElement[bool]] = [
        getattr(Payout, name) == getattr(wanted, name)
        for name in ("account_id", "participant_id", "chain", "asset", "is_confirmed", "origin")
        if getattr(wanted, name) is not None
    ]
    if wanted.is_held is not None:
        conditions.append(Payout.held_reason.is_not(None) == wanted.is_held)
    if wanted.is_delayed is not None:
        conditions.append(Payout.look_again_at.is_not(None) == wanted.is_delayed)
    if wanted.states:
        conditions.append(Payout.state.in_(wanted.states))
    if wanted.since is not None:
        conditions.append(moment >= wanted.since)
    if wanted.until is not None:
        conditions.append(moment < wanted.until)
    return conditions
