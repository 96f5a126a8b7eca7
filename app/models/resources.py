"""What providers offer for compute tasks: machines or parts of them, each at a price by the hour."""

import uuid
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.models.columns import Created, Id, Json, Minor, Moment, Str

RESOURCE_TYPES = ("gpu", "cpu")
# As a provider sets it. That a task has it (`busy`) is never written down: it follows from the task's own rows.
RESOURCE_STATUSES = ("available", "maintenance", "offline")
BUSY = "busy"


class Resource(Base):
    """Something that one task at a time may have, whole. `specifications` are the provider's words, the columns what was read in
    them: cores, GPUs, and GB of 10⁹ bytes (`gpu_memory_gb` of each GPU); null is what the provider did not say.

    The price is by the hour in units of 10⁻⁶, of `currency`, or of USDC and USDT alike where that is null. `location` is in the
    form of `values.locations`. A deleted one stays, for what was earned with it.
    """

    __tablename__ = "resources"
    __table_args__ = (
        CheckConstraint("price_minor >= 0", name="price_not_negative"),
        Index("ix_resources_provider_id", "provider_id", "created_at", postgresql_where=text("deleted_at IS NULL")),
    )

    id: Mapped[Id]
    provider_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("providers.id"))
    type: Mapped[Str]
    specifications: Mapped[Json]
    cpu_cores: Mapped[Decimal | None] = mapped_column(Numeric(9, 3))
    gpu_count: Mapped[int] = mapped_column(default=0)
    gpu_memory_gb: Mapped[Decimal | None] = mapped_column(Numeric(9, 3))
    ram_gb: Mapped[Decimal | None] = mapped_column(Numeric(9, 3))
    storage_gb: Mapped[Decimal | None] = mapped_column(Numeric(9, 3))
    location: Mapped[Str | None]
    price_minor: Mapped[Minor]
    currency: Mapped[Str | None]
    status: Mapped[Str] = mapped_column(default="available")
    created_at: Mapped[Created]
    updated_at: Mapped[Created]
    deleted_at: Mapped[Moment | None]
