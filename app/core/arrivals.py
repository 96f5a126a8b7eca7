"""What came in by itself on watched accounts: noted as it is found, decided once it is proven, and never lost."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import ledger, payments, settlement
from app.core.ledger import Party
from app.core.payments import Decision
from app.errors import Conflict, NotFound
from app.models.arrivals import Arrival
from app.models.payments import Payment
from app.values import clock, memos
from app.values.chain import Movement, Sighting
from app.values.money import MAX_MINOR, Money
from app.values.payment_check import CLOCK_SKEW, judge
from app.values.purposes import Purpose
from app.values.ton_address import TonAddress
from app.values.ton_arrivals import RETURNED, TonArrival

CHAIN = "ton"
UNCLAIMED = Party("unclaimed")


def note(session: Session, account: TonAddress, pay_to: TonAddress, found: Iterable[TonArrival], only_ours: bool) -> None:
    """Write down what a part of a walk found, to be decided when the whole walk is proven.

    `only_ours`: the account is somebody else's, whose money is no business of ours unless it carries a memo of ours.
    """
    for item in found:
        if only_ours and memos.MEMO.fullmatch(item.comment or "") is None:
            continue
        row = {
            "id": uuid.uuid4(),
            "chain": CHAIN,
            "account": account.raw,
            "pay_to": pay_to.raw,
            "lt": item.lt,
            "hash": item.hash,
            "asset": item.asset,
            "token": item.token.raw if item.token else None,
            "amount_minor": item.amount_minor,
            "comment": item.comment,
            "payer": item.payer.raw if item.payer else None,
            "occurred_at": item.occurred_at,
            "state": "found",
            "code": item.problem,
            "created_at": clock.now(),
        }
        session.execute(insert(Arrival).values(row).on_conflict_do_nothing())


def prove(session: Session, account: TonAddress) -> None:
    """The walk came to where it was before: what it found is so."""
    session.execute(update(Arrival).where(*_found(account)).values(state="proven"))


def forget_found(session: Session, account: TonAddress) -> int:
    """The walk broke: what it found may not be so, and is looked for again."""
    return len(session.scalars(delete(Arrival).where(*_found(account)).returning(Arrival.id)).all())


def _found(account: TonAddress) -> tuple:
    return (Arrival.chain == CHAIN, Arrival.account == account.raw, Arrival.state == "found")


def undecided(session: Session, limit: int = 500) -> list[uuid.UUID]:
    """Proven arrivals that nothing was done with yet, the oldest first."""
    query = select(Arrival.id).where(Arrival.state == "proven").order_by(Arrival.account, Arrival.lt).limit(limit)
    return list(session.scalars(query))


def first_asked_at(session: Session, pay_to: TonAddress) -> datetime | None:
    """How far back an account that was never read may hold payments of ours; None: nothing was asked for."""
    query = select(func.min(Payment.created_at)).where(Payment.chain == CHAIN, Payment.pay_to == pay_to.raw)
    found = session.scalar(query)
    return None if found is None else found - CLOCK_SKEW


def decide(session: Session, arrival_id: uuid.UUID, hub_wallet: TonAddress | None) -> Arrival:
    """Book one proven arrival: for the payment whose memo it carries, else as unclaimed. Once, whoever decides."""
    item = session.get_one(Arrival, arrival_id, with_for_update=True, populate_existing=True)
    if item.state != "proven":
        return item
    item.decided_at = clock.now()
    payment = _payment(session, item)
    item.payment_id = payment.id if payment else None
    if item.code == RETURNED or (item.asset is not None and item.amount_minor == 0):
        item.state = "ignored"
    elif payment is not None and item.code is None:
        _match(session, item, payment)
    elif hub_wallet is not None and item.pay_to == hub_wallet.raw:
        _keep(session, item, item.code or ("memo_unknown" if item.comment else "memo_missing"))
    else:
        item.state = "ignored"
    return item


def _payment(session: Session, item: Arrival) -> Payment | None:
    if item.comment is None:
        return None
    query = select(Payment).where(Payment.chain == CHAIN, Payment.memo == item.comment, Payment.pay_to == item.pay_to)
    return session.scalars(query).one_or_none()


def _match(session: Session, item: Arrival, payment: Payment) -> None:
    """Judge it as any payment is judged; money in another asset than the asked one is kept apart."""
    if (item.token, item.asset) != (payment.mint, payment.asset):
        _keep(session, item, "wrong_asset")
        return
    if item.amount_minor > MAX_MINOR:
        _keep(session, item, "out_of_range")
        return
    verdict = judge(
        _sighting(item),
        pay_to=payment.pay_to,
        mint=payment.mint,
        amount_minor=payment.amount_minor,
        memo=payment.memo,
        created_at=payment.created_at,
        expires_at=payment.expires_at,
    )
    shown = payments.note_shown(session, payment, item.hash)
    decision = Decision(verdict.state, verdict.code, verdict.message, verdict.received_minor, verdict.payer)
    payments.decide(session, shown.id, decision)
    item.state, item.code = "matched", verdict.code


def _sighting(item: Arrival) -> Sighting:
    amount, payer = int(item.amount_minor), item.payer or ""
    return Sighting(
        signature=item.hash,
        slot=item.lt,
        block_time=item.occurred_at.astimezone(UTC),
        error=None,
        is_final=True,
        memos=(item.comment,) if item.comment else (),
        movements=(Movement(payer, item.pay_to, amount, item.token),),
        fee_payer=payer,
        changes={(item.pay_to, item.token): amount},
    )


def _keep(session: Session, item: Arrival, code: str) -> None:
    """Money that came, and that no payment takes: on the ledger where it can be counted, and shown to the operator."""
    item.state, item.code = "unclaimed", code
    money = money_of(item)
    if money is not None:
        ledger.post(session, Party("chain"), UNCLAIMED, money, f"arrival:{item.chain}:{item.hash}")


def money_of(item: Arrival) -> Money | None:
    """The arrival as money; None for a jetton that nobody vouches for, and for amounts that no ledger holds."""
    if item.asset is None or not 0 < item.amount_minor <= MAX_MINOR:
        return None
    return Money(int(item.amount_minor), item.asset)


def unclaimed(session: Session, limit: int = 1000) -> Sequence[Arrival]:
    """What an operator must look at, the oldest first."""
    query = select(Arrival).where(Arrival.state == "unclaimed").order_by(Arrival.created_at, Arrival.lt).limit(limit)
    return session.scalars(query).all()


def assign(session: Session, arrival_id: uuid.UUID, account_id: uuid.UUID) -> Money:
    """Give unclaimed money to an account's balance. NotFound for what is not unclaimed, Conflict for what is no money here."""
    item = session.get(Arrival, arrival_id, with_for_update=True)
    if item is None or item.state != "unclaimed":
        raise NotFound(f"no unclaimed arrival is called {arrival_id}: see `lightyard ton unclaimed`")
    money = money_of(item)
    if money is None:
        raise Conflict(f"{arrival_id} is no money that this hub counts ({item.code})")
    reference = f"arrival:{item.chain}:{item.hash}:assigned"
    settlement.lock(session, {account_id: ("balance",)}, money.asset)
    ledger.post(session, UNCLAIMED, Party("balance", account_id), money, reference, purpose=Purpose.ADJUSTMENT)
    item.state, item.assigned_to = "assigned", account_id
    settlement.settle_debts(session, account_id, money.asset)
    return money


def put_away(session: Session, arrival_id: uuid.UUID) -> None:
    """The operator has seen it and nothing is to be done; what is on the ledger stays there."""
    item = session.get(Arrival, arrival_id, with_for_update=True)
    if item is None or item.state != "unclaimed":
        raise NotFound(f"no unclaimed arrival is called {arrival_id}: see `lightyard ton unclaimed`")
    item.state = "ignored"
