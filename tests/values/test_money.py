from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import pricing
from app.errors import InvalidInput
from app.values import money
from app.values.money import Money

SEED = pricing.Tariff(Decimal("0.001"), Decimal("0.0001"), Decimal("0.01"), Decimal("0.005"))


@given(st.integers(0, 10**18), st.integers(1, 500))
def test_parts_sum_to_the_whole(minor: int, parts: int) -> None:
    split = money.split(Money(minor, "SOL"), parts)
    assert sum(part.minor for part in split) == minor
    assert max(split).minor - min(split).minor <= 1


@given(st.sampled_from(sorted(money.DECIMALS)), st.integers(0, 2**62))
def test_what_is_printed_is_read_again(asset: str, minor: int) -> None:
    assert money.parse(str(Money(minor, asset)), asset) == Money(minor, asset)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e30", "", "one", "0.0000000001"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        money.parse(text, "SOL")


def test_the_seed_prices_of_100_mib_and_one_frame() -> None:
    quote = pricing.quote(SEED, 100 * 1024**2, 1, Decimal(60), 5)
    assert quote.base_price == Decimal("0.0079765625")
    assert quote.platform_fee == Decimal("0.000398828125")
    assert quote.price == Money(8_375_000, "SOL")


def test_the_minimum_price_counts_before_the_fee() -> None:
    quote = pricing.quote(SEED, 1, 1, Decimal(0), 5)
    assert quote.price == Money(5_250_000, "SOL")


@pytest.mark.parametrize("text", ["1e999999999", "-1e999999999", "1E+99999999999", "NaN", "-Infinity", "sNaN"])
def test_what_no_context_can_hold_is_no_amount(text: str) -> None:
    with pytest.raises(InvalidInput):
        money.parse(text, "USDC")
