"""An operator credits a transaction that no deposit takes: the chain is asked what it brought, then it is booked."""

import uuid
from typing import Protocol

from app.core import stray_deposits
from app.core.solana_hub import SolanaHub
from app.db import Database
from app.errors import NotFound
from app.values.chain import Sighting
from app.values.money import Money


class Chain(Protocol):
    """What this asks of a chain; ChainUnavailable means that nothing is known."""

    def sighting(self, signature: str) -> Sighting | None: ...


def credit(database: Database, chain: Chain, hub: SolanaHub, signature: str, account_id: uuid.UUID) -> Money:
    """NotFound where the chain does not show the transaction; errors as `core.stray_deposits.credit`."""
    seen = chain.sighting(signature)
    if seen is None:
        raise NotFound(f"Solana does not show {signature} (yet): is it of this network?")
    with database.unit_of_work() as session:
        return stray_deposits.credit(session, hub, account_id, seen)
