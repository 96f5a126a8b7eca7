"""Ledgers with numbered entries, and trees over them."""

import uuid
from typing import Any

from sqlalchemy import text

from app.core import accounts, anchors, audit, ledger
from app.core.anchors import Rules
from app.core.ledger import Party
from app.db import Database
from app.flows import anchors as flows
from app.flows.anchors import AnchorChain, Patience
from app.models.anchors import AnchorAttempt, AnchorBatch
from app.values.money import Money

SWEEPS_AT_MOST = 100
AT_ONCE = Rules(enough=1, most=1000, seconds=300)


def post_transfers(database: Database, count: int, owner: uuid.UUID | None = None) -> uuid.UUID:
    """An owner's account with `count` transfers to it: twice as many entries, numbered."""
    with database.unit_of_work() as session:
        owner = owner or accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
        for _ in range(count):
            amount = Money(100_000, "CREDIT")
            ledger.post(session, Party("chain"), Party("balance", owner), amount, f"test:{uuid.uuid4()}")
    with database.unit_of_work() as session:
        audit.number_entries(session)
    return owner


def build_tree(database: Database, size: int, owner: uuid.UUID | None = None) -> uuid.UUID:
    """A tree of exactly `size` entries of an empty ledger, and one entry in the next when `size` is odd."""
    owner = post_transfers(database, (size + 1) // 2, owner)
    with database.unit_of_work() as session:
        assert anchors.build_next(session, Rules(enough=1, most=size, seconds=300)) == size
    return owner


def build_trees(database: Database, count: int) -> None:
    for _ in range(count):
        post_transfers(database, 1)
        with database.unit_of_work() as session:
            assert anchors.build_next(session, AT_ONCE) is not None


def batches(database: Database) -> list[AnchorBatch]:
    with database.unit_of_work() as session:
        return list(reversed(anchors.page(session, 1000, 0)[0]))


def only_batch(database: Database) -> AnchorBatch:
    (found,) = batches(database)
    return found


def attempts(database: Database) -> list[AnchorAttempt]:
    """Everything that was ever signed, in order."""
    with database.unit_of_work() as session:
        return list(session.query(AnchorAttempt).order_by(AnchorAttempt.batch_number, AnchorAttempt.ordinal))


def anchor_all(database: Database, chain: AnchorChain) -> None:
    """Sweep until everything is final: a chain that mines at once may still do so after a sweep has looked."""
    for _ in range(SWEEPS_AT_MOST):
        flows.advance(database, chain, Patience(confirmations=1, replace_seconds=300))
        if all(batch.state == "final" for batch in batches(database)):
            return
    raise AssertionError([(batch.number, batch.state) for batch in batches(database)])


def as_superuser(database: Database, *statements: str, **values: Any) -> None:
    """What no trigger stops: somebody who may turn them off."""
    with database.unit_of_work() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            session.execute(text(statement), values)
