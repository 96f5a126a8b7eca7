"""Holding for one task while another of the same client is charged: both lock the client's accounts, in one order."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.core import accounts, audit, ledger
from app.core.ledger import Party
from app.db import Database
from app.values.money import parse
from tests.factories import charges

ROUNDS = 15


def rich_account(database: Database, *, is_balance_first: bool) -> uuid.UUID:
    """A client with money, whose balance stands before its held money in the order of locks, or behind it."""
    while True:
        with database.unit_of_work() as session:
            account_id = accounts.ensure_identity(session, "solana", uuid.uuid4().hex)
            balance, held = (ledger.open_account(session, Party(kind, account_id), "USDC") for kind in ("balance", "held"))
            if (balance.id < held.id) == is_balance_first:
                ledger.post(session, Party("chain"), Party("balance", account_id), parse("1000", "USDC"), f"test:{account_id}")
                return account_id


@pytest.mark.parametrize("is_balance_first", [True, False])
def test_tasks_of_one_client_begin_and_end_at_once_without_waiting_in_a_circle(
    database: Database, is_balance_first: bool
) -> None:
    client = rich_account(database, is_balance_first=is_balance_first)
    with database.unit_of_work() as session:
        payee = accounts.ensure_identity(session, "solana", "payee")
    running = [charges.begin(database, client, "1.00") for _ in range(ROUNDS)]
    start = threading.Barrier(3)

    def charge_all() -> None:
        start.wait()
        for job_id in running:
            charges.charge(database, job_id, "0.40", 100, payee)

    def begin_more() -> None:
        start.wait()
        for _ in range(ROUNDS):
            charges.begin(database, client, "1.00")

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(each) for each in (charge_all, begin_more, begin_more)]:
            done.result()
    with database.unit_of_work() as session:
        assert audit.differences(session) == []
        left = parse(str(1000 - 2 * ROUNDS - ROUNDS * 2 // 5), "USDC")
        assert ledger.balance(session, Party("balance", client), "USDC") == left
        assert ledger.balance(session, Party("held", client), "USDC") == parse(str(2 * ROUNDS), "USDC")
