"""Every payout that was sent gets its worth in dollars at that time, once: asked for outside of the transactions."""

from app.core import payout_values
from app.db import Database
from app.values import usd_rates
from app.values.usd_rates import UsdRates

BATCH = 500


def price(database: Database, rates: UsdRates) -> int:
    """Give every payout that was sent its worth at that time, where somebody knows the rate; how many got one."""
    after, count = 0, 0
    while True:
        with database.read_only() as session:
            waiting = payout_values.unpriced(session, after, BATCH)
        known = [(item, worth) for item in waiting if (worth := usd_rates.value(item.amount, item.at, rates))]
        with database.unit_of_work() as session:
            count += payout_values.put(session, known)
        if len(waiting) < BATCH:
            return count
        after = waiting[-1].number
