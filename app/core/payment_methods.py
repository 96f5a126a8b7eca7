"""How an account wants to pay, and the deposits that are asked for by themselves when its balance runs low.

Nobody can take money out of a wallet but its owner, so an automatic top-up is a deposit that is asked for, not a debit.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import solana_deposits
from app.core.solana_hub import SolanaHub
from app.models.billing import PaymentMethod
from app.models.ledger import LedgerAccount
from app.models.payments import Payment
from app.values import clock
from app.values.money import Money

DEFAULT_CURRENCY = "USDC"
TOPUP_NOTE = "automatic top-up"
TOPUP_SECONDS = int(timedelta(days=7).total_seconds())


@dataclass(frozen=True, slots=True)
class Method:
    """What an account wants: `topup` is asked for once its balance is below `topup_below`, both in `currency`; None: never."""

    currency: str = DEFAULT_CURRENCY
    topup_below: Money | None = None
    topup: Money | None = None
    billing_details: str | None = None
    topup_payment_id: uuid.UUID | None = None

    @property
    def is_topped_up(self) -> bool:
        return self.topup is not None


def read(session: Session, account_id: uuid.UUID) -> Method:
    """What the account wants; the defaults where it never said. Its `topup_payment_id` is a deposit that is still waited for."""
    row = session.get(PaymentMethod, account_id)
    if row is None:
        return Method()
    waiting = session.scalar(select(Payment.id).where(Payment.id == row.topup_payment_id, *_waits()))
    return Method(row.currency, _money(row.topup_below_minor, row), _money(row.topup_minor, row), row.billing_details, waiting)


def _money(minor: int | None, row: PaymentMethod) -> Money | None:
    return Money(minor, row.currency) if row.is_topped_up and minor is not None else None


def choose(session: Session, account_id: uuid.UUID, method: Method) -> None:
    """Write down what the account wants from now on; the last word counts."""
    values = {
        "account_id": account_id,
        "currency": method.currency,
        "is_topped_up": method.is_topped_up,
        "topup_below_minor": method.topup_below.minor if method.topup_below else None,
        "topup_minor": method.topup.minor if method.topup else None,
        "billing_details": method.billing_details,
        "updated_at": clock.now(),
    }
    statement = insert(PaymentMethod).values(values)
    changed = {name: value for name, value in values.items() if name != "account_id"}
    session.execute(statement.on_conflict_do_update(index_elements=["account_id"], set_=changed))


def due(session: Session, limit: int = 100) -> list[uuid.UUID]:
    """Accounts whose balance is below what they named, and that no top-up is waited for."""
    return list(session.scalars(_due().order_by(func.random()).limit(limit)))


def ask_topup(session: Session, hub: SolanaHub, account_id: uuid.UUID, memo_prefix: str) -> Payment | None:
    """Ask for the account's top-up, once however many try at the same time; None when it needs none (any more)."""
    query = select(PaymentMethod).where(PaymentMethod.account_id == account_id).with_for_update()
    row = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if row is None or session.scalar(_due().where(PaymentMethod.account_id == account_id)) is None:
        return None
    amount = Money(int(row.topup_minor or 0), row.currency)
    payment = solana_deposits.ask(
        session, hub, account_id, amount, memo_prefix=memo_prefix, seconds=TOPUP_SECONDS, note=TOPUP_NOTE
    )
    session.flush()
    row.topup_payment_id = payment.id
    return payment


def _waits() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Payment.state == "open", Payment.expires_at > clock.now()


def _due() -> Select[uuid.UUID]:
    balance = (LedgerAccount.owner_id == PaymentMethod.account_id) & (LedgerAccount.asset == PaymentMethod.currency)
    waiting = select(Payment.id).where(Payment.id == PaymentMethod.topup_payment_id, *_waits())
    query = select(PaymentMethod.account_id).outerjoin(LedgerAccount, balance & (LedgerAccount.kind == "balance"))
    low = or_(LedgerAccount.id.is_(None), LedgerAccount.balance_minor < PaymentMethod.topup_below_minor)
    return query.where(PaymentMethod.is_topped_up, low, ~waiting.exists())
