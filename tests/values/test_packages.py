"""The table of packages: exact amounts and prices, or a word on which item is wrong."""

from decimal import Decimal

import pytest

from app.errors import ConfigError
from app.values.packages import read_packages

PRICE = Decimal("0.10")


def test_packages_have_credits_and_a_price() -> None:
    found = read_packages("cred10=100, cred50=500@49.99 ,half=0.5", PRICE)
    assert [(item.sku, item.credits.minor, item.price_minor) for item in found.values()] == [
        ("cred10", 1_000_000, 1000), ("cred50", 5_000_000, 4999), ("half", 5_000, 5),
    ]
    assert read_packages("", PRICE) == {}


@pytest.mark.parametrize(
    "text",
    ["cred10", "=100", "a=", "a=0", "a=-1", "a=x", "a=NaN", "a=1e30", "a=1.00001", "a=1,a=2", "a=1@", "a=1@0", "a=1@1.005",
     "a=1@x", "a=1@Infinity", "a=0.01", "a=1@NaN"],
)
def test_an_item_that_makes_no_sense_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="CREDIT_PACKAGES"):
        read_packages(text, PRICE)
