"""An operator writes down a payout that was made elsewhere; its worth is asked for before, outside of the transaction."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app.core import participants, payouts
from app.core.payouts import Facts, Record
from app.db import Database
from app.errors import Conflict, Refused
from app.values import usd_rates
from app.values.money import Money
from app.values.usd_rates import UsdRates

GIVEN = "recorded"


@dataclass(frozen=True, slots=True)
class NewRecord:
    """What an operator says of a payout. Addresses are raw, the hash is 64 lower-case hex digits; without `amount_usd` the rate
    of the transaction's time makes it."""

    participant_id: int
    tx_hash: str
    amount: Money
    amount_usd: Decimal | None
    source: str
    destination: str
    transaction_time: datetime
    period_start: datetime | None = None
    period_end: datetime | None = None
    total_requests: int | None = None
    total_compute_time_seconds: int | None = None


def record(database: Database, rates: UsdRates, told: NewRecord) -> int:
    """Write it down, unconfirmed until TON shows it; returns its number. The engine never pays it.

    NotFound for an unknown participant; Refused ALREADY_RECORDED for a transaction that is known.
    """
    facts = _facts(rates, told)
    with database.unit_of_work() as session:
        account_id = participants.get(session, told.participant_id).account_id
        payment = Record(told.tx_hash, told.amount, told.destination, told.source, told.transaction_time, facts)
        try:
            return payouts.recorded(session, account_id, payment).number
        except Conflict as error:
            if error.code != payouts.ALREADY_RECORDED:
                raise
            message = "Transaction already recorded: its payout is in the list"
            raise Refused(message, code=payouts.ALREADY_RECORDED) from None


def _facts(rates: UsdRates, told: NewRecord) -> Facts:
    amount_usd, rate, source = told.amount_usd, None, GIVEN if told.amount_usd is not None else None
    if amount_usd is None and (worth := usd_rates.value(told.amount, told.transaction_time, rates)):
        amount_usd, rate, source = worth.amount_usd, worth.rate, worth.source
    return Facts(
        participant_id=told.participant_id,
        amount_usd=amount_usd,
        usd_rate=rate,
        usd_rate_source=source,
        period_start=told.period_start,
        period_end=told.period_end,
        total_requests=told.total_requests,
        total_compute_time_seconds=told.total_compute_time_seconds,
    )
