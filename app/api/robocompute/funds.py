"""A balance or a stake that is short, in this dialect's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from app.api.robocompute.schemas.loose import written
from app.errors import PaymentRequired


@contextmanager
def told_in(currency: str) -> Iterator[None]:
    """Whatever is done within and finds too little of `currency` is INSUFFICIENT_FUNDS{required, available, currency}, or
    INSUFFICIENT_STAKE{required, current, currency}."""
    try:
        yield
    except PaymentRequired as short:
        if short.code == "INSUFFICIENT_STAKE":
            raise _told(short, short.code, "required", "current", currency) from short
        raise _told(short, "INSUFFICIENT_FUNDS", "requested", "available", currency) from short


def _told(short: PaymentRequired, code: str, wanted: str, name: str, currency: str) -> PaymentRequired:
    required, has = (written(Decimal(short.details[detail])) for detail in (wanted, name))
    what = "staked" if name == "current" else "available"
    details = {"required": required, name: has, "currency": currency}
    return PaymentRequired(f"not enough {currency}: {required} needed, {has} {what}", code=code, details=details)
