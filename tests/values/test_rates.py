from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import Settings
from app.errors import ConfigError, Unavailable
from app.values.money import DECIMALS, DOWN, UP, Money
from app.values.rates import convert, read_table

TABLE = read_table("SOL=150, USDC=1,RENDER=7.5")


def test_a_conversion_tells_its_rate_and_source() -> None:
    found = convert(Money(8_375_000, "SOL"), "USDC", TABLE, UP)
    assert (str(found.amount), found.rate, found.source) == ("1.256250", Decimal(150), "settings")
    assert convert(Money(5, "SOL"), "SOL", TABLE, UP).source == "none"


@given(st.integers(0, 10**15), st.sampled_from(["SOL", "USDC", "RENDER"]), st.sampled_from(["SOL", "USDC", "RENDER"]))
def test_there_and_back_never_makes_money(minor: int, here: str, there: str) -> None:
    away = convert(Money(minor, here), there, TABLE, DOWN)
    back = convert(away.amount, here, TABLE, DOWN)
    # The stored rate has twelve places, so a rounded rate may differ by that much, and by one minor unit.
    assert back.amount.minor <= minor + minor // 10**9 + 1


def test_amount_and_stored_rate_agree() -> None:
    found = convert(Money(1_000_000_000, "USDC"), "SOL", read_table("USDC=1,SOL=3"), DOWN)
    assert found.amount.decimal == (Decimal(1000) * found.rate).quantize(Decimal("1e-9"), DOWN)


@pytest.mark.parametrize("text", ["SOL", "SOL=", "SOL=x", "SOL=0", "SOL=-1", "SOL=nan", "SOL=inf", "DOGE=1"])
def test_a_wrong_table_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="RATES_USD"):
        read_table(text)


def test_an_unknown_rate_is_unavailable_and_the_default_knows_every_asset() -> None:
    with pytest.raises(Unavailable, match="RATES_USD"):
        TABLE.usd("TON")
    default = read_table(Settings().rates)
    assert {asset for asset in DECIMALS if default.usd(asset) > 0} == set(DECIMALS)
