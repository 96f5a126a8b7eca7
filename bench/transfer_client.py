"""One client process of the ledger's measurement: the same units of work for transfers and for bare inserts."""

import time
import uuid
from typing import Literal

from sqlalchemy import text

from app.config import Settings
from app.core import ledger
from app.core.ledger import Party
from app.db import Database, make_engine
from app.values.money import Money

ASSET = "CREDIT"
Side = Literal["bare", "platform", "users"]
_BARE = text("INSERT INTO bench_bare (id, amount, note, made_at) VALUES (:id, :amount, :note, now())")
_database: Database | None = None


def connect(url: str) -> None:
    """Once in each process."""
    global _database
    _database = Database(make_engine(Settings(database_url=url, database_pool_size=1)))


def ready(number: int) -> int:
    """Answers when the process is there."""
    with _open().unit_of_work() as session:
        session.execute(text("SELECT 1"))
    return number


def work(side: Side, mine: uuid.UUID, other: uuid.UUID, count: int) -> tuple[float, float]:
    """Do `count` pieces, each with its own commit: (began, ended) by the clock that all processes of a machine share."""
    began = time.monotonic()
    for _ in range(count):
        with _open().unit_of_work() as session:
            name = f"bench:{uuid.uuid4()}"
            if side == "bare":
                session.execute(_BARE, {"id": uuid.uuid4(), "amount": 1, "note": name})
            else:
                to = Party("fees") if side == "platform" else Party("balance", other)
                ledger.post(session, Party("balance", mine), to, Money(1, ASSET), name)
    return began, time.monotonic()


def _open() -> Database:
    if _database is None:
        raise RuntimeError("connect first")
    return _database
