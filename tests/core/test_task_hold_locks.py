"""Holding for one task while another of the same client is charged: both lock the client's accounts, in one order."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.core import accounts, audit, credits, ledger, settlement
from app.core.ledger import Party
from app.db import Database
from app.models.payments import Refund
from app.values.money import parse
from app.values.purposes import Purpose
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


def test_two_who_owe_each_other_are_credited_at_once_and_never_wait_in_a_ring(database: Database) -> None:
    """What comes in for one goes on to the other at once: each credit touches the accounts of both."""
    pair = [rich_account(database, is_balance_first=True) for _ in range(2)]
    for debtor, creditor in (pair, pair[::-1]):
        job_id = charges.begin(database, debtor, "1.00")
        with database.unit_of_work() as session:
            owed = Refund(job_id=job_id, debtor_id=debtor, creditor_id=creditor, reason="test")
            settlement.refund(session, owed, parse("10", "CREDIT"), f"test:{job_id}")
    start = threading.Barrier(2)

    def credit(account_id: uuid.UUID) -> None:
        for number in range(ROUNDS):
            start.wait()
            with database.unit_of_work() as session:
                credits.grant(session, account_id, parse("0.1", "CREDIT"), f"test:{account_id}:{number}", Purpose.PURCHASE)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(credit, account_id) for account_id in pair]:
            done.result()
    with database.unit_of_work() as session:
        assert audit.differences(session) == []
        has = [ledger.balance(session, Party("balance", account_id), "CREDIT").minor for account_id in pair]
        owes = [-ledger.balance(session, Party("debt", account_id), "CREDIT").minor for account_id in pair]
    assert sum(has) == parse("0.2", "CREDIT").minor * ROUNDS, "nothing is lost on the way"
    assert all(owed < parse("10", "CREDIT").minor for owed in owes)
