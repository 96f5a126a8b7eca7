"""Money as integers in minor units. `Decimal` parses, prints and holds rates; no float ever touches it."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation

from app.errors import InvalidInput

DECIMALS = {"SOL": 9, "TON": 9, "USDC": 6, "USDT": 6, "RENDER": 8, "RCREDIT": 8, "CREDIT": 4}
UP, DOWN, NEAREST = ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP
MAX_MINOR = 2**62  # fits PostgreSQL's bigint with room for sums


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """`minor` units of `asset`: Money(8375000, "SOL") is 0.008375 SOL."""

    minor: int
    asset: str

    def __post_init__(self) -> None:
        if self.asset not in DECIMALS:
            raise InvalidInput(f"unknown asset {self.asset!r}; known are {', '.join(DECIMALS)}")
        if type(self.minor) is not int or abs(self.minor) > MAX_MINOR:
            raise InvalidInput("an amount must be a whole number of minor units within range")

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.asset)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.asset)

    def _same(self, other: "Money") -> int:
        if other.asset != self.asset:
            raise ValueError(f"cannot mix {self.asset} and {other.asset}")
        return other.minor

    @property
    def decimal(self) -> Decimal:
        return Decimal(self.minor).scaleb(-DECIMALS[self.asset])

    def __str__(self) -> str:
        return f"{self.decimal:.{DECIMALS[self.asset]}f}"


def from_decimal(amount: Decimal, asset: str, rounding: str) -> Money:
    """Turn an exact amount into minor units; the rounding is named by the caller."""
    if not amount.is_finite() or amount.copy_abs() > MAX_MINOR:  # abs() would round, and overflow
        raise InvalidInput("an amount must be a finite number within range")
    return Money(int(amount.scaleb(DECIMALS[asset]).to_integral_value(rounding)), asset)


def parse(text: str, asset: str) -> Money:
    """Read a user's amount; more decimals than the asset has, NaN and infinities are refused."""
    try:
        amount = Decimal(text)
    except (InvalidOperation, TypeError, ValueError):
        raise InvalidInput(f"{text!r} is not an amount; write a number such as 1.25") from None
    money = from_decimal(amount, asset, DOWN)
    if money.decimal != amount:
        raise InvalidInput(f"{asset} has {DECIMALS[asset]} decimals; {text} has more")
    return money


def share(amount: Money, percent: int, rounding: str = NEAREST) -> Money:
    """`percent` of an amount."""
    return from_decimal(amount.decimal * percent / 100, amount.asset, rounding)


def split(amount: Money, parts: int) -> list[Money]:
    """Split into `parts` amounts that sum to the whole; the first ones take what is left over."""
    if parts < 1:
        raise ValueError("parts must be at least 1")
    base, rest = divmod(amount.minor, parts)
    return [Money(base + (1 if index < rest else 0), amount.asset) for index in range(parts)]
