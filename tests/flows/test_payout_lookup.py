"""A payout that somebody else made counts once TON shows its transaction, and only if that paid just what was recorded."""

from datetime import timedelta

import pytest

from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.adapters.chains.toncenter import Toncenter
from app.core import accounts, payout_reconciliation, payouts
from app.core.payouts import Record
from app.db import Database
from app.flows import payout_lookup
from app.models.payouts import Payout
from app.values import clock, ton_address
from app.values.money import Money
from app.values.payouts import read_transaction_hash
from tests.factories.payouts import all_payouts
from tests.factories.ton import TON, TonChain

TWO = Money(2 * TON, "TON")


def raw(chain: TonChain, name: str, nano: int = 0) -> str:
    return ton_address.read(chain.wallet(name, nano)).raw


def write(database: Database, tx_hash: str, to: str, source: str | None = None, amount: Money = TWO) -> None:
    with database.unit_of_work() as session:
        account = accounts.ensure_identity(session, "ton", to)
        payouts.recorded(session, account, Record(read_transaction_hash(tx_hash), amount, to, source, clock.now()))


def look_up(database: Database, chain: TonChain) -> Payout:
    gateway = CheckedTonGateway(Toncenter((chain.api_url,), 5))
    payout_lookup.look_up_if_possible(database, gateway)
    return all_payouts(database)[-1]


def newest_hash(chain: TonChain, address: str) -> str:
    return str(chain.transactions(ton_address.read(address).friendly())[0]["transaction_id"]["hash"])


@pytest.mark.parametrize("side", ["payee", "payer"])
def test_it_counts_once_the_chain_shows_it(database: Database, ton_chain: TonChain, side: str) -> None:
    pool, participant = raw(ton_chain, "pool", 10 * TON), raw(ton_chain, "participant")
    ton_chain.pay("pool", participant, TWO.minor, "for work")
    write(database, newest_hash(ton_chain, participant if side == "payee" else pool), participant, pool)
    payout = look_up(database, ton_chain)
    assert (payout.state, payout.is_confirmed, payout.confirmations) == ("confirmed", True, 1)


@pytest.mark.parametrize(("amount", "to_other"), [(TWO.minor - 1, False), (TWO.minor, True)], ids=["amount", "payee"])
def test_a_transaction_that_paid_something_else_confirms_nothing(
    database: Database, ton_chain: TonChain, amount: int, to_other: bool
) -> None:
    pool, participant, other = raw(ton_chain, "pool", 10 * TON), raw(ton_chain, "participant"), raw(ton_chain, "other")
    ton_chain.pay("pool", other if to_other else participant, TWO.minor, "for work")
    write(database, newest_hash(ton_chain, pool), participant, pool, Money(amount, "TON"))
    assert not look_up(database, ton_chain).is_confirmed
    with database.unit_of_work() as session:
        (difference,) = payout_reconciliation.differences(session)
        assert difference.kind == "amount" and "nanotons" in difference.detail


def test_a_hash_that_nobody_shows_stays_unconfirmed_and_is_asked_for_again_later(
    database: Database, ton_chain: TonChain
) -> None:
    participant = raw(ton_chain, "participant", TON)
    write(database, "ab" * 32, participant)
    first = look_up(database, ton_chain)
    assert not first.is_confirmed and first.looked_at is not None
    assert look_up(database, ton_chain).looked_at == first.looked_at, "its turn comes in a minute"
    now = clock.now()
    clock.replace_clock(lambda: now + timedelta(seconds=61))
    try:
        assert look_up(database, ton_chain).looked_at > first.looked_at
    finally:
        clock.replace_clock(None)


def test_a_server_that_is_away_decides_nothing(database: Database, ton_chain: TonChain) -> None:
    participant = raw(ton_chain, "participant", TON)
    write(database, "cd" * 32, participant)
    ton_chain.faults(breaks="error")
    assert look_up(database, ton_chain).looked_at is None


def test_an_account_that_cannot_be_read_lets_others_be_looked_for_first(database: Database, ton_chain: TonChain) -> None:
    participant = raw(ton_chain, "participant", TON)
    write(database, "cd" * 32, participant)
    ton_chain.faults(claim_hash="A" * 43 + "=")
    payout = look_up(database, ton_chain)
    assert payout.looked_at is not None and not payout.is_confirmed
