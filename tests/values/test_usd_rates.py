"""Past rates: each from a day in UTC on, the present ones otherwise, and nothing made up."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from app.errors import ConfigError, Unavailable
from app.values.money import Money
from app.values.rates import read_table
from app.values.usd_rates import read_days, value

PRESENT = read_table("TON=3,USDC=1")


def test_the_newest_day_that_has_begun_holds() -> None:
    rates = read_days("TON@2025-07-01=2.9, TON@2025-01-01=5.5", PRESENT)
    east = timezone(timedelta(hours=3))
    cases = {
        datetime(2024, 12, 31, 23, 59, tzinfo=UTC): (Decimal(3), "settings"),
        datetime(2025, 1, 1, 1, tzinfo=east): (Decimal(3), "settings"),
        datetime(2025, 1, 1, tzinfo=UTC): (Decimal("5.5"), "settings@2025-01-01"),
        datetime(2025, 6, 30, 23, 59, tzinfo=UTC): (Decimal("5.5"), "settings@2025-01-01"),
        datetime(2030, 1, 1, tzinfo=UTC): (Decimal("2.9"), "settings@2025-07-01"),
    }
    for moment, told in cases.items():
        assert rates.at("TON", moment) == told
    assert rates.at("USDC", datetime(2025, 1, 1, tzinfo=UTC)) == (Decimal(1), "settings")
    with pytest.raises(Unavailable):
        rates.at("SOL", datetime(2025, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    ["TON=3", "TON@2025-13-01=3", "TON@2025-01-01", "TON@2025-01-01=0", "TON@2025-01-01=-1", "X@2025-01-01=1",
     "TON@2025-01-01=NaN", "TON@2025-01-01=1,TON@2025-01-01=2", "TON@2025-01-01=1e40"],
)
def test_what_is_no_rate_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="RATES_USD_SINCE"):
        read_days(text, PRESENT)


def test_a_worth_is_its_rounded_rate_times_the_amount() -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    worth = value(Money(1_000_000_001, "TON"), moment, read_days("TON@2025-01-01=3.1234567891234", PRESENT))
    assert worth is not None
    assert (worth.rate, worth.amount_usd) == (Decimal("3.123456789123"), Decimal("3.123457"))
    assert value(Money(1, "SOL"), moment, read_days("", PRESENT)) is None
