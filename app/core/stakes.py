"""Stakes: what a provider sets aside as security for its results, and gets back after a delay.

A stake moves in the ledger: from `balance` to `stake`, from there to `unstaking` when it is asked back, and to `balance` when its
delay is over. Only what is in `stake` counts as staked; what is `unstaking` can still be slashed.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.core import ledger, settlement
from app.core.ledger import Party
from app.errors import Conflict, PaymentRequired, Refused
from app.models.disputes import Dispute
from app.models.stakes import Unstaking
from app.values import clock
from app.values.money import Money
from app.values.purposes import Purpose
from app.values.states import DisputeState, UnstakingState, advance

ASSETS = ("USDC", "USDT")
# Of tasks that the account had when the stake was asked back: those that still run, and those that have been over for less than
# the stake's delay, in which their buyers may dispute them. No task runs for longer than a week.
_SECURED = text("""
SELECT coalesce(sum(CASE h.state WHEN 'held' THEN h.amount_minor ELSE h.earned_minor + h.fee_minor END), 0)
FROM attempts a JOIN work_units u ON u.id = a.unit_id AND u.fence = a.fence JOIN task_holds h ON h.job_id = u.job_id
WHERE (a.provider_id IN (SELECT id FROM providers WHERE account_id = :account_id)
    OR a.node_id IN (SELECT id FROM nodes WHERE account_id = :account_id))
AND a.started_at BETWEEN CAST(:asked_at AS timestamptz) - interval '7 days' AND :asked_at AND h.asset = :asset
AND ((h.state = 'held' AND a.state = 'live') OR (h.state = 'captured' AND h.ended_at > CAST(:now AS timestamptz) - :delay))
""")


@dataclass(frozen=True, slots=True)
class StakeRules:
    """`minimums`: the least that must be staked to take a task on, by the asset that the task is paid in."""

    minimums: Mapping[str, Money]
    unstake_delay_hours: int


@dataclass(frozen=True, slots=True)
class Stake:
    """`staked` counts; `unstaking` is on its way back; `at_risk` is what open disputes may take."""

    staked: Money
    unstaking: Money
    at_risk: Money


def stake(session: Session, account_id: uuid.UUID, amount: Money, stake_id: uuid.UUID) -> Stake:
    """Lock `amount` of the account's balance as its stake, once per `stake_id`. PaymentRequired when the balance is short."""
    _assert_amount(amount)
    source, to = Party("balance", account_id), Party("stake", account_id)
    settlement.lock(session, {account_id: settlement.STAKE_FIRST}, amount.asset)
    ledger.post(session, source, to, amount, f"stake:{stake_id}", purpose=Purpose.ADJUSTMENT, description="Staked")
    return read(session, account_id, amount.asset)


def unstake(session: Session, account_id: uuid.UUID, amount: Money, unstaking_id: uuid.UUID, delay_hours: int) -> Unstaking:
    """Ask `amount` of the stake back, once per `unstaking_id`: it comes after the delay, at once where there is none.

    From now on it does not count as staked. PaymentRequired INSUFFICIENT_STAKE when less is staked.
    """
    _assert_amount(amount)
    known = session.get(Unstaking, unstaking_id)
    if known is not None:
        return _same(known, account_id, amount)
    settlement.lock(session, {account_id: settlement.STAKE_FIRST}, amount.asset)
    has = ledger.available(session, account_id, settlement.STAKE_FIRST, amount.asset)["stake"]
    if has < amount:
        raise _insufficient(f"{has} {amount.asset} are staked; {amount} were asked back", amount, has)
    now = clock.now()
    row = Unstaking(
        id=unstaking_id,
        account_id=account_id,
        asset=amount.asset,
        amount_minor=amount.minor,
        state=UnstakingState.PENDING,
        releases_at=now + timedelta(hours=delay_hours),
        created_at=now,
    )
    session.add(row)
    session.flush()
    ledger.post(session, Party("stake", account_id), Party("unstaking", account_id), amount, f"unstake:{row.id}")
    release(session, row.id)
    return row


def _assert_amount(amount: Money) -> None:
    if amount.asset not in ASSETS:
        raise Refused(f"stakes are in {' or '.join(ASSETS)}", code="STAKE_ASSET")
    if amount.minor <= 0:
        raise Refused("the amount must be more than zero", code="AMOUNT_NOT_POSITIVE")


def _same(known: Unstaking, account_id: uuid.UUID, amount: Money) -> Unstaking:
    if (known.account_id, known.asset, known.amount_minor) != (account_id, amount.asset, amount.minor):
        raise Conflict("this was asked for with other values", code="REFERENCE_REUSED")
    return known


def due(session: Session, most: int = 200) -> list[uuid.UUID]:
    """What may have come to its end, by lot, so that those which disputes hold up keep no others waiting: `release` decides, each
    in a unit of work of its own."""
    query = select(Unstaking.id).where(Unstaking.state == UnstakingState.PENDING, Unstaking.releases_at <= clock.now())
    return list(session.scalars(query.order_by(func.random()).limit(most)))


def release(session: Session, unstaking_id: uuid.UUID) -> bool:
    """Give back what was asked back, less what was slashed meanwhile, once. False while its delay runs, or while so much of the
    account's stake is needed for what open disputes may take, or for tasks that it had when this was asked for."""
    query = select(Unstaking).where(Unstaking.id == unstaking_id).with_for_update()
    row = session.scalars(query.execution_options(populate_existing=True)).one()
    if row.state != UnstakingState.PENDING or row.releases_at > clock.now():
        return False
    settlement.lock(session, {row.account_id: settlement.STAKE_FIRST}, row.asset)
    has = ledger.available(session, row.account_id, settlement.STAKE_FIRST, row.asset)
    amount = min(has["unstaking"], Money(row.amount_minor, row.asset))
    needed = at_risk(session, row.account_id, row.asset) + _secured(session, row)
    if amount.minor and has["stake"] + has["unstaking"] - amount < needed:
        return False
    row.state = advance(UnstakingState(row.state), UnstakingState.RELEASED)
    row.released_minor, row.released_at = amount.minor, clock.now()
    if amount.minor:
        source, to = Party("unstaking", row.account_id), Party("balance", row.account_id)
        reference = f"unstake:{row.id}:released"
        ledger.post(session, source, to, amount, reference, purpose=Purpose.ADJUSTMENT, description="Unstaked")
        settlement.settle_debts(session, row.account_id, row.asset)
    return True


def _secured(session: Session, row: Unstaking) -> Money:
    asked = {"account_id": row.account_id, "asset": row.asset, "asked_at": row.created_at, "now": clock.now()}
    found = session.scalar(_SECURED, asked | {"delay": row.releases_at - row.created_at})
    return Money(int(found or 0), row.asset)


def at_risk(session: Session, account_id: uuid.UUID, asset: str) -> Money:
    """What the open disputes against an account may take."""
    query = select(func.coalesce(func.sum(Dispute.cost_minor), 0)).where(
        Dispute.provider_account_id == account_id, Dispute.asset == asset, Dispute.state == DisputeState.OPEN
    )
    return Money(int(session.scalar(query) or 0), asset)


def read(session: Session, account_id: uuid.UUID, asset: str) -> Stake:
    """What an account has staked in an asset."""
    staked, unstaking = (ledger.balance(session, Party(kind, account_id), asset) for kind in ("stake", "unstaking"))
    return Stake(staked, unstaking, at_risk(session, account_id, asset))


def require(session: Session, account_id: uuid.UUID, minimum: Money) -> None:
    """PaymentRequired INSUFFICIENT_STAKE where less than `minimum` is staked, in its asset."""
    staked = ledger.balance(session, Party("stake", account_id), minimum.asset)
    if staked < minimum:
        message = f"{minimum} {minimum.asset} must be staked to take tasks on; {staked} are: stake the difference"
        raise _insufficient(message, minimum, staked)


def _insufficient(message: str, required: Money, current: Money) -> PaymentRequired:
    details = {"required": str(required), "current": str(current), "currency": required.asset}
    return PaymentRequired(message, code="INSUFFICIENT_STAKE", details=details)


def unstakings(session: Session, account_id: uuid.UUID, asset: str, most: int = 100) -> list[Unstaking]:
    """What is on its way back, and what has come back, the newest first."""
    query = select(Unstaking).where(Unstaking.account_id == account_id, Unstaking.asset == asset)
    return list(session.scalars(query.order_by(Unstaking.created_at.desc(), Unstaking.id).limit(most)))
