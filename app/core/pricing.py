"""What a render costs: the seed's formula with decimals, rounded once (source: Rayment's pricing model)."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models.jobs import SceneTiming
from app.values.money import NEAREST, Money, from_decimal

BYTES_PER_GB = Decimal(1024**3)
TOTAL_PLACES = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Tariff:
    """A provider's prices in units of `currency` (SOL, not lamports)."""

    price_per_frame: Decimal
    price_per_second: Decimal
    price_per_gb: Decimal
    minimum_price: Decimal
    currency: str = "SOL"


@dataclass(frozen=True, slots=True)
class Quote:
    """The parts of a price; only `total` is rounded, and `price` is it in minor units."""

    base_price: Decimal
    file_size_fee: Decimal
    frame_fee: Decimal
    render_fee: Decimal
    platform_fee: Decimal
    total: Decimal
    price: Money
    render_seconds: Decimal


def quote(tariff: Tariff, size_bytes: int, frames: int, render_seconds: Decimal, fee_percent: int) -> Quote:
    """Price `frames` of a scene of `size_bytes` that take `render_seconds` in all."""
    file_size_fee = Decimal(size_bytes) / BYTES_PER_GB * tariff.price_per_gb
    frame_fee = frames * tariff.price_per_frame
    render_fee = render_seconds * tariff.price_per_second
    base = max(file_size_fee + frame_fee + render_fee, tariff.minimum_price)
    fee = base * fee_percent / 100
    total = max((base + fee).quantize(TOTAL_PLACES, NEAREST), TOTAL_PLACES)  # a payment of nothing can't be seen on a chain
    price = from_decimal(total, tariff.currency, NEAREST)
    return Quote(base, file_size_fee, frame_fee, render_fee, fee, total, price, render_seconds)


def settings_key(settings: Mapping[str, object]) -> str:
    """What render time depends on, as one text."""
    return "/".join(str(settings.get(key)) for key in ("engine", "width", "height", "samples"))


def measured_seconds(session: Session, sha256: str, key: str) -> Decimal | None:
    """Seconds per frame of these bytes with these settings, if the hub has seen them rendered."""
    row = session.execute(
        select(SceneTiming.seconds_total, SceneTiming.frames).where(
            SceneTiming.sha256 == sha256, SceneTiming.settings_key == key
        )
    ).one_or_none()
    return None if row is None or row[1] == 0 else Decimal(str(round(row[0] / row[1], 3)))
