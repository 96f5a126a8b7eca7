"""Invoices over what tasks were charged: each charge stands on one, and their numbers follow one another in each account.

They are issued for the month that is over, or when the account asks for one. Tasks are paid in advance, so nothing is due.

An invoice never changes. What a dispute gives back of a line on it is a credit note, numbered within its invoice in the order of
the decisions; it follows from the dispute, which is decided once, and the line.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.core import payment_methods, wallets
from app.errors import NotFound
from app.models.billing import Invoice, InvoiceCounter, InvoiceLine
from app.models.disputes import Dispute
from app.models.jobs import Job
from app.models.tasks import Task, TaskHold
from app.values import clock
from app.values.money import Money
from app.values.states import DisputeState, HoldState

LINES_MOST = 1000  # of one invoice: what is more goes onto the next one
LOOK_BACK = timedelta(days=62)


@dataclass(frozen=True, slots=True)
class CreditNote:
    """What a decision gave back of one line of an invoice; `place` counts the invoice's credit notes from 1."""

    dispute: Dispute
    line: InvoiceLine
    place: int


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """An invoice, and the credit notes to it; `lines` are empty in a list of them."""

    invoice: Invoice
    lines: tuple[InvoiceLine, ...] = ()
    credit_notes: tuple[CreditNote, ...] = ()

    @property
    def number(self) -> str:
        """As it is written, and nobody else's: `RC-1f0e9a7c-000012`."""
        return f"RC-{str(self.invoice.account_id)[:8]}-{self.invoice.number:06d}"

    @property
    def amount(self) -> Money:
        return Money(self.invoice.amount_minor, self.invoice.asset)

    @property
    def credited(self) -> Money:
        return self.money(sum(note.dispute.cost_minor for note in self.credit_notes))

    def note_number(self, note: CreditNote) -> str:
        """As it is written: `RC-1f0e9a7c-000012-C1`."""
        return f"{self.number}-C{note.place}"

    def note_issued_at(self, note: CreditNote) -> datetime:
        """With the decision; a decision from before the invoice is credited as soon as there is one."""
        assert note.dispute.decided_at is not None, "a slashed dispute is decided"
        return max(note.dispute.decided_at, self.invoice.issued_at)

    def money(self, minor: int) -> Money:
        return Money(minor, self.invoice.asset)


@dataclass(frozen=True, slots=True)
class Charge:
    """What a task cost, with what is told of it."""

    hold: TaskHold
    job: Job
    task: Task

    @property
    def amount_minor(self) -> int:
        return (self.hold.earned_minor or 0) + (self.hold.fee_minor or 0)

    @property
    def charged_at(self) -> datetime:
        assert self.hold.ended_at is not None, "a captured hold has ended"
        return self.hold.ended_at


def month_start(moment: datetime) -> datetime:
    """When the moment's month began, in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def due(session: Session, before: datetime, limit: int = 100) -> list[tuple[uuid.UUID, str]]:
    """Accounts, each with an asset, with charges from before that moment which stand on no invoice; looks back two months."""
    query = select(TaskHold.account_id, TaskHold.asset).where(*_open(before), TaskHold.ended_at >= before - LOOK_BACK)
    return [(row[0], row[1]) for row in session.execute(query.distinct().limit(limit))]


def open_assets(session: Session, account_id: uuid.UUID) -> list[str]:
    """The assets in which the account was charged something that stands on no invoice yet."""
    query = select(TaskHold.asset).where(TaskHold.account_id == account_id, *_open(clock.now())).distinct()
    return sorted(session.scalars(query))


def issue(session: Session, account_id: uuid.UUID, asset: str, before: datetime, seller: str) -> Invoice | None:
    """Put the account's charges from before that moment, the oldest LINES_MOST of them, onto an invoice; None without any.

    The counter's lock lets one issue at a time for an account; what is rolled back uses no number.
    """
    counter = _lock_counter(session, account_id)
    query = select(TaskHold, Job, Task).join(Job, Job.id == TaskHold.job_id).join(Task, Task.job_id == TaskHold.job_id)
    query = query.where(TaskHold.account_id == account_id, TaskHold.asset == asset, *_open(before))
    rows = session.execute(query.order_by(TaskHold.ended_at, TaskHold.id).limit(LINES_MOST))
    charges = [Charge(hold, job, task) for hold, job, task in rows]
    if not charges:
        return None
    counter.last_number += 1
    invoice = Invoice(
        id=uuid.uuid4(),
        account_id=account_id,
        number=counter.last_number,
        asset=asset,
        amount_minor=sum(item.amount_minor for item in charges),
        lines=len(charges),
        period_start=charges[0].charged_at,
        period_end=charges[-1].charged_at,
        seller=seller,
        buyer=_buyer(session, account_id),
        issued_at=clock.now(),
    )
    session.add(invoice)
    session.flush()
    session.execute(insert(InvoiceLine), [_line(invoice, position, item) for position, item in enumerate(charges, 1)])
    return invoice


def listed(session: Session, account_id: uuid.UUID, limit: int, offset: int) -> list[InvoiceView]:
    """The account's invoices, the newest first."""
    query = select(Invoice).where(Invoice.account_id == account_id).order_by(Invoice.number.desc())
    found = session.scalars(query.limit(limit).offset(offset)).all()
    notes = _credit_notes(session, [item.id for item in found])
    return [InvoiceView(item, credit_notes=notes[item.id]) for item in found]


def get_own(session: Session, account_id: uuid.UUID, invoice_id: uuid.UUID) -> InvoiceView:
    """One invoice of the account with its lines. NotFound INVOICE_NOT_FOUND for anybody else's, as for none."""
    query = select(Invoice).where(Invoice.id == invoice_id, Invoice.account_id == account_id)
    invoice = session.scalars(query).one_or_none()
    if invoice is None:
        details = {"invoice_id": str(invoice_id)}
        raise NotFound(f"there is no invoice {invoice_id}", code="INVOICE_NOT_FOUND", details=details)
    lines = select(InvoiceLine).where(InvoiceLine.invoice_id == invoice_id).order_by(InvoiceLine.position)
    return InvoiceView(invoice, tuple(session.scalars(lines)), _credit_notes(session, [invoice_id])[invoice_id])


def _credit_notes(session: Session, invoice_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, tuple[CreditNote, ...]]:
    """Of each of these invoices; a later decision comes behind those before, so a number stays."""
    query = select(Dispute, InvoiceLine).join(InvoiceLine, InvoiceLine.job_id == Dispute.job_id)
    query = query.where(InvoiceLine.invoice_id.in_(invoice_ids), Dispute.state == DisputeState.SLASHED)
    found: dict[uuid.UUID, tuple[CreditNote, ...]] = dict.fromkeys(invoice_ids, ())
    for dispute, line in session.execute(query.order_by(Dispute.decided_at, Dispute.id)):
        before = found[line.invoice_id]
        found[line.invoice_id] = (*before, CreditNote(dispute, line, len(before) + 1))
    return found


def _open(before: datetime) -> Sequence[Any]:
    """Of a hold: something was charged from it, before that moment, and it stands on no invoice."""
    is_invoiced = select(InvoiceLine.hold_id).where(InvoiceLine.hold_id == TaskHold.id).exists()
    charged = func.coalesce(TaskHold.earned_minor, 0) + func.coalesce(TaskHold.fee_minor, 0)
    return TaskHold.state == HoldState.CAPTURED, TaskHold.ended_at < before, charged > 0, ~is_invoiced


def _lock_counter(session: Session, account_id: uuid.UUID) -> InvoiceCounter:
    session.execute(insert(InvoiceCounter).values(account_id=account_id, last_number=0).on_conflict_do_nothing())
    query = select(InvoiceCounter).where(InvoiceCounter.account_id == account_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _line(invoice: Invoice, position: int, item: Charge) -> dict[str, Any]:
    return {
        "invoice_id": invoice.id,
        "position": position,
        "hold_id": item.hold.id,
        "job_id": item.job.id,
        "name": item.job.name,
        "seconds": item.task.billed_seconds or 0,
        "price_minor": item.task.max_price_minor if item.task.price_minor is None else item.task.price_minor,
        "amount_minor": item.amount_minor,
        "started_at": item.job.started_at,
        "charged_at": item.charged_at,
    }


def _buyer(session: Session, account_id: uuid.UUID) -> str:
    """The account's own words for itself, else its name and its wallets."""
    told = payment_methods.read(session, account_id).billing_details
    account = wallets.describe(session, account_id)
    known = [account.name, *(f"{item.chain}: {item.address}" for item in account.wallets[:1])]
    return "\n".join([told or "", *known, f"account {account_id}"]).strip()
