"""Payments in the database: decided once, whoever decides; what can't be used is owed back, never lost."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.core import accounts, audit, completions, ledger, outcomes, payments, pricing, settlement
from app.core.completions import Finished
from app.core.ledger import Party
from app.core.payments import Decision
from app.db import Database
from app.errors import Conflict
from app.models.jobs import Job, WorkUnit
from app.models.payments import ChainTransaction, Payment, Refund
from app.values.money import Money
from tests.factories.market import Marketplace

PRICE = 7_350_000


def shown(database: Database, payment_id: uuid.UUID, signature: str) -> uuid.UUID:
    with database.unit_of_work() as session:
        return payments.present(session, session.get_one(Payment, payment_id), signature).id


def refunds(database: Database, job_id: uuid.UUID) -> list[tuple[str, int, str]]:
    with database.unit_of_work() as session:
        return [(item.reason, item.amount_minor, item.status) for item in payments.refunds_of(session, job_id)]


def test_twenty_at_once_book_one_payment(database: Database) -> None:
    market = Marketplace(database)
    job_id, payment_id = market.unpaid_job(frames=2)

    def decide(_: int) -> str:
        transaction = shown(database, payment_id, "same")
        with database.unit_of_work() as session:
            return str(payments.decide(session, transaction, Decision("accepted", None, None, PRICE + 1_050_000, "c")).state)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(decide, range(20))) == {"accepted"}
    with database.unit_of_work() as session:
        assert len(session.scalars(select(WorkUnit).where(WorkUnit.job_id == job_id)).all()) == 2
        assert audit.differences(session) == []
    assert refunds(database, job_id) == []


def test_of_twenty_different_payments_for_one_job_one_counts_and_nineteen_are_owed_back(database: Database) -> None:
    market = Marketplace(database)
    job_id, payment_id = market.unpaid_job()
    transactions = [shown(database, payment_id, f"tx{index}") for index in range(20)]

    def decide(transaction: uuid.UUID) -> str:
        with database.unit_of_work() as session:
            return str(payments.decide(session, transaction, Decision("accepted", None, None, PRICE, "c")).state)

    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(decide, transactions))
    assert sorted(states) == ["accepted", *["refundable"] * 19]
    assert refunds(database, job_id) == [("already_paid", PRICE, "owed")] * 19
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("external", market.owner_id), "SOL").minor == 20 * PRICE
        assert audit.differences(session) == []


def test_a_transaction_pays_one_job_for_ever(database: Database) -> None:
    market = Marketplace(database)
    (_, first), (_, second), (_, third) = (market.unpaid_job() for _ in range(3))
    mine, theirs = shown(database, first, "tx"), shown(database, second, "tx")
    with database.unit_of_work() as session:
        payments.decide(session, theirs, Decision("refused", "memo_wrong", "another's memo"))
        payments.decide(session, mine, Decision("accepted", None, None, PRICE, "c"))
    for other in (second, third):
        with pytest.raises(Conflict, match="already used"):
            shown(database, other, "tx")


def test_the_database_itself_refuses_to_book_one_transaction_for_two(database: Database) -> None:
    market = Marketplace(database)
    (_, first), (_, second) = market.unpaid_job(), market.unpaid_job()
    mine, theirs = shown(database, first, "tx"), shown(database, second, "tx")
    with database.unit_of_work() as session:
        payments.decide(session, mine, Decision("accepted", None, None, PRICE, "c"))
    with pytest.raises(IntegrityError), database.unit_of_work() as session:
        session.get_one(ChainTransaction, theirs).state = "accepted"


def test_one_transaction_shown_for_two_payments_is_booked_for_one_and_the_other_is_told(database: Database) -> None:
    """It carries the memos of both, and both were shown before either was decided."""
    market = Marketplace(database)
    jobs_and_payments = [market.unpaid_job() for _ in range(2)]
    both = [shown(database, payment_id, "tx") for _, payment_id in jobs_and_payments]

    def decide(transaction: uuid.UUID) -> tuple[str, str | None]:
        with database.unit_of_work() as session:
            told = payments.decide(session, transaction, Decision("refundable", "memo_twice", None, PRICE, "c"))
            return told.state, told.code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(decide, both)) == [("refundable", "memo_twice"), ("refused", "TRANSACTION_USED")]
    owed = [refund for job_id, _ in jobs_and_payments for refund in refunds(database, job_id)]
    assert owed == [("memo_twice", PRICE, "owed")]
    with database.unit_of_work() as session:
        assert audit.differences(session) == []


def test_a_heap_of_invented_transactions_keeps_no_real_one_from_being_asked_for(database: Database) -> None:
    market = Marketplace(database)
    _, payment_id = market.unpaid_job()
    with database.unit_of_work() as session:
        payment = session.get_one(Payment, payment_id)
        for number in range(300):
            payments.present(session, payment, f"invented{number}")
    real = shown(database, payment_id, "real")
    for _ in range(100):  # 100 of 301 at a time: all of them without it has a chance of (2/3)^100
        with database.unit_of_work() as session:
            asked = payments.pending(session)
        if real in asked:
            break
    assert len(asked) == 100 and real in asked


def test_only_what_was_asked_for_again_is_given_up(database: Database) -> None:
    market = Marketplace(database)
    _, payment_id = market.unpaid_job()
    asked, waiting = shown(database, payment_id, "asked"), shown(database, payment_id, "waiting")
    with database.unit_of_work() as session:
        assert payments.give_up(session, [asked], older_than_seconds=-1) == 1
    with database.unit_of_work() as session:
        assert payments.pending(session) == [waiting]


@pytest.mark.parametrize(("code", "received"), [("short", PRICE - 1), ("expired", PRICE), ("memo_twice", PRICE)])
def test_money_that_does_not_pay_is_owed_back_to_the_lamport(database: Database, code: str, received: int) -> None:
    market = Marketplace(database)
    job_id, payment_id = market.unpaid_job()
    market.pay(payment_id, received, "refundable", code)
    assert refunds(database, job_id) == [(code, received, "owed")]
    market.pay(payment_id)
    with database.unit_of_work() as session:
        assert session.get_one(Job, job_id).payment_state == "confirmed"


def test_too_much_is_owed_back(database: Database) -> None:
    market = Marketplace(database)
    job_id, payment_id = market.unpaid_job()
    market.pay(payment_id, PRICE + 5)
    assert refunds(database, job_id) == [("overpaid", 5, "owed")]


def test_a_payment_for_a_withdrawn_quote_is_owed_back(database: Database) -> None:
    market = Marketplace(database)
    job_id, payment_id = market.unpaid_job()
    with database.unit_of_work() as session:
        outcomes.cancel_unpaid(session, job_id, "SCENE_UNREADABLE", "broken")
    market.pay(payment_id)
    assert refunds(database, job_id) == [("job_over", PRICE, "owed")]


def test_a_late_credit_pays_clients_first_then_the_platform(database: Database) -> None:
    market = Marketplace(database)
    job_id = market.paid_job(frames=2)
    node = market.node("n")
    (done, _) = market.claim(node, 2)
    with database.unit_of_work() as session:
        completions.complete(session, [Finished(done.attempt_id, done.fence, "key", "0" * 64, 1, 0.1)])
        outcomes.fail_job(session, job_id, "PROVIDER_FAILED", "no")
        (refund,) = payments.refunds_of(session, job_id)
        owed, client = refund.amount_minor, refund.creditor_id
    fee = market.balance("fees")
    assert market.balance("debt", market.owner_id) == -(owed + fee)
    for credit, still_owed in ((1000, owed - 1000), (owed, 0), (10**9, 0)):
        with database.unit_of_work() as session:
            source, target = Party("chain"), Party("balance", market.owner_id)
            ledger.post(session, source, target, Money(credit, "SOL"), f"credit:{uuid.uuid4()}")
            settlement.settle_debts(session, market.owner_id, "SOL")
        with database.unit_of_work() as session:
            rows = session.scalars(select(Refund).where(Refund.job_id == job_id)).all()
            assert sum(item.amount_minor for item in rows) == owed
            assert sum(item.amount_minor for item in rows if item.status == "owed") == still_owed
            assert audit.differences(session) == []
    assert market.balance("debt", market.owner_id) == market.balance("owed", client) == 0
    assert market.balance("balance", client) == owed
    assert market.balance("balance", market.owner_id) == 1000 + owed + 10**9 - owed - fee


def test_a_refund_is_taken_from_what_the_provider_has(database: Database) -> None:
    market = Marketplace(database)
    with database.unit_of_work() as session:
        credit = Money(1_000_000, "SOL")
        ledger.post(session, Party("chain"), Party("balance", market.owner_id), credit, "credit")
    job_id = market.paid_job()
    with database.unit_of_work() as session:
        outcomes.fail_job(session, job_id, "PROVIDER_FAILED", "no")
    assert sorted(refunds(database, job_id)) == [
        ("PROVIDER_FAILED", 1_000_000, "credited"),
        ("PROVIDER_FAILED", PRICE - 1_000_000, "owed"),
    ]
    with database.unit_of_work() as session:
        client = accounts.ensure_identity(session, "solana", "client")
    assert market.balance("balance", client) == 1_000_000


def test_who_rents_from_himself_owes_himself_nothing(database: Database) -> None:
    market = Marketplace(database)
    with database.unit_of_work() as session:
        assert accounts.ensure_identity(session, "solana", market.wallet) == market.owner_id
    job_id, payment_id = market.unpaid_job()
    with database.unit_of_work() as session:
        found = payments.present(session, session.get_one(Payment, payment_id), "own")
        payments.decide(session, found.id, Decision("accepted", None, None, PRICE, market.wallet))
    with database.unit_of_work() as session:
        outcomes.fail_job(session, job_id, "PROVIDER_FAILED", "no")
    assert refunds(database, job_id) == [("PROVIDER_FAILED", PRICE, "credited")]
    with database.unit_of_work() as session:
        ledger.post(session, Party("chain"), Party("balance", market.owner_id), Money(10**9, "SOL"), "credit")
        assert settlement.settle_debts(session, market.owner_id, "SOL").minor == 0
        assert audit.differences(session) == []


def test_a_price_of_nothing_is_the_least_that_a_chain_can_show() -> None:
    free = pricing.Tariff(Decimal(0), Decimal(0), Decimal(0), Decimal(0))
    assert pricing.quote(free, 1, 1, Decimal(60), 5).price == Money(1000, "SOL")


def test_invented_transactions_hide_no_payment_and_fill_no_answer(database: Database) -> None:
    market = Marketplace(database)
    job_id, payment_id = market.unpaid_job()
    market.pay(payment_id)
    with database.unit_of_work() as session:
        payment = session.get_one(payments.Payment, payment_id)
        invented = [payments.present(session, payment, f"invented {number}").id for number in range(150)]
    with database.unit_of_work() as session:
        told = payments.shown_for(session, payment_id)
        assert payments.get_shown(session, invented[0]).state == "pending"
    assert len(told) == payments.SHOWN_AT_MOST
    assert (told[0].state, told[-1].id) == ("accepted", invented[-1])
