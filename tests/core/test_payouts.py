"""Money on its way out: once per reference, never more than there is, only to wallets that signed."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from solders.keypair import Keypair
from sqlalchemy import text

from app.core import (
    accounts,
    audit,
    ledger,
    payout_addresses,
    payout_delays,
    payout_reconciliation,
    payout_records,
    payout_signings,
    payouts,
)
from app.core.ledger import Party
from app.core.payout_addresses import AddressRules
from app.core.payouts import Filter, Record
from app.db import Database
from app.errors import Conflict, InvalidInput, LightyardError, NotFound, PaymentRequired, Refused, Unauthenticated
from app.models.accounts import Identity
from app.models.payouts import Payout
from app.values import clock, signatures, ton_address
from app.values.money import Money
from app.values.payouts import SOLANA, Fate, Order, Outgoing, Part, SignedPayouts, Terms
from app.values.states import PayoutState, SigningOutcome
from tests.factories.payouts import ADDRESS_RULES, RULES, all_payouts, earner, order

SOL = Money(50_000_000, "SOL")
COOL = AddressRules(24, 300, {SOLANA: signatures.verify})


def balances(database: Database, account: uuid.UUID) -> tuple[int, int]:
    with database.unit_of_work() as session:
        found = [ledger.balance(session, Party(kind, account), "SOL").minor for kind in ("balance", "payout")]
        assert audit.differences(session) == [] and payout_reconciliation.ledger_differences(session) == []
        return found[0], found[1]


@pytest.mark.parametrize("reference", ["same", None], ids=["one-reference", "each-its-own"])
def test_a_thousand_requests_at_once_for_one_balance_make_one_payout(database: Database, reference: str | None) -> None:
    account, _ = earner(database, SOL)

    def ask(number: int) -> str:
        try:
            return str(order(database, account, SOL, f"test:{reference or number}"))
        except PaymentRequired as error:
            return error.code

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(1000)))
    (payout,) = all_payouts(database)
    assert answers.count(str(payout.id)) == (1000 if reference else 1)
    assert balances(database, account) == (0, SOL.minor)


def test_a_reference_names_one_payout_for_ever(database: Database) -> None:
    account, _ = earner(database, SOL, SOL)
    first = order(database, account, SOL, "cocoon:proposal:7")
    assert order(database, account, SOL, "cocoon:proposal:7") == first
    with pytest.raises(Conflict):
        order(database, account, Money(SOL.minor - 1, "SOL"), "cocoon:proposal:7")
    other, _ = earner(database, SOL)
    with pytest.raises(Conflict):
        order(database, other, SOL, "cocoon:proposal:7")


@pytest.mark.parametrize("minor", [0, -1, 1, 2**62])
def test_amounts_that_are_none_or_too_small_are_refused(database: Database, minor: int) -> None:
    account, _ = earner(database, SOL)
    with pytest.raises(LightyardError) as caught:
        order(database, account, Money(minor, "SOL"))
    assert caught.value.status in (400, 402) and all_payouts(database) == []


def test_what_never_leaves_the_ledger_is_not_paid_out(database: Database) -> None:
    account, _ = earner(database, Money(1000, "CREDIT"))
    with pytest.raises(InvalidInput, match="not paid out"):
        order(database, account, Money(1000, "CREDIT"))


def test_a_cancelled_payout_is_back_and_stays_so(database: Database) -> None:
    account, _ = earner(database, SOL)
    payout = order(database, account, SOL)
    with database.unit_of_work() as session:
        payouts.cancel(session, payout)
    assert balances(database, account) == (SOL.minor, 0)
    with pytest.raises(Conflict), database.unit_of_work() as session:
        payouts.cancel(session, payout)


def propose(database: Database, account: uuid.UUID, keys: Keypair, at: datetime | None = None) -> None:
    wallet, moment = str(keys.pubkey()), int((at or clock.now()).timestamp() * 1000)
    signature = str(keys.sign_message(payout_addresses.message(account, SOLANA, wallet, moment).encode()))
    with database.unit_of_work() as session:
        payout_addresses.propose(session, account, SOLANA, wallet, moment, signature, COOL)


@pytest.fixture
def later() -> object:
    """Calls with hours let them pass."""
    yield lambda hours: clock.replace_clock(lambda: datetime.now(UTC) + timedelta(hours=hours))
    clock.replace_clock(None)


def test_a_new_address_counts_after_its_cool_off(database: Database, later) -> None:  # noqa: ANN001
    account, first = earner(database, SOL, SOL)
    second = Keypair()
    propose(database, account, second)
    assert order(database, account, SOL) and all_payouts(database)[0].destination == first
    later(25)
    assert order(database, account, SOL) and all_payouts(database)[1].destination == str(second.pubkey())


def test_an_address_that_is_revoked_in_time_is_never_paid(database: Database, later) -> None:  # noqa: ANN001
    account, first = earner(database, SOL)
    propose(database, account, Keypair())
    with database.unit_of_work() as session:
        newest = payout_addresses.listed(session, account)[0]
        payout_addresses.revoke(session, account, newest.id)
    with pytest.raises(NotFound), database.unit_of_work() as session:
        payout_addresses.revoke(session, account, newest.id)
    later(25)
    assert order(database, account, SOL) and all_payouts(database)[0].destination == first


def test_an_address_needs_the_signature_of_its_own_wallet(database: Database) -> None:
    account, _ = earner(database, address=False)
    thief, other = Keypair(), earner(database)[0]
    now = int(clock.now().timestamp() * 1000)
    wallet = str(Keypair().pubkey())
    forged = str(thief.sign_message(payout_addresses.message(account, SOLANA, wallet, now).encode()))
    for_other = str(thief.sign_message(payout_addresses.message(other, SOLANA, str(thief.pubkey()), now).encode()))
    for address, signature in ((wallet, forged), (str(thief.pubkey()), for_other), (wallet, "x")):
        with pytest.raises(Unauthenticated), database.unit_of_work() as session:
            payout_addresses.propose(session, account, SOLANA, address, now, signature, COOL)
    with pytest.raises(Unauthenticated):
        propose(database, account, thief, at=clock.now() - timedelta(seconds=400))
    with pytest.raises(Refused, match="no payout address"):
        order(database, account, SOL)


def test_a_signed_address_is_good_once(database: Database) -> None:
    account, _ = earner(database, address=False)
    keys, moment = Keypair(), clock.now()
    propose(database, account, keys, at=moment)
    with pytest.raises(Conflict):
        propose(database, account, keys, at=moment)


@pytest.mark.parametrize(
    ("chain", "address"),
    [("solana", "0x1"), ("solana", None), ("ton", "0:abcd"), ("ton", "5:" + "a" * 64), ("ton", "x" * 48), ("bitcoin", "1")],
)
def test_addresses_that_are_none_are_refused(chain: str, address: object) -> None:
    with pytest.raises(InvalidInput):
        payout_addresses.read(chain, address)


def test_the_forms_of_a_ton_address_are_one() -> None:
    raw = "0:" + "aB" * 32
    found = payout_addresses.read("ton", raw)
    forms = [ton_address.read(found).friendly(bounceable) for bounceable in (True, False)]
    assert found == raw.lower() and {payout_addresses.read("ton", form) for form in forms} == {found}


def test_a_wallet_linked_yesterday_may_be_paid_and_a_stranger_s_never(database: Database, later) -> None:  # noqa: ANN001
    account, _ = earner(database, SOL)
    linked = str(Keypair().pubkey())
    with database.unit_of_work() as session:
        session.add(Identity(account_id=account, kind=SOLANA, value=linked))
    for wanted in (linked, str(Keypair().pubkey())):
        with pytest.raises(Refused), database.unit_of_work() as session:
            payout_addresses.destination(session, account, SOLANA, wanted, 24)
    later(25)
    with database.unit_of_work() as session:
        assert payout_addresses.destination(session, account, SOLANA, linked, 24) == linked


def test_a_wallet_that_signed_in_may_become_the_address_and_one_that_was_only_told_may_not(database: Database, later) -> None:  # noqa: ANN001
    address, linked = "0:" + "1" * 64, "0:" + "2" * 64
    with database.unit_of_work() as session:
        account = accounts.ensure_identity(session, "ton", address)
        session.add(Identity(account_id=account, kind="ton", value=linked, verified_at=clock.now()))
    with pytest.raises(Refused, match="sign in with it"), database.unit_of_work() as session:
        payout_addresses.propose_own(session, account, "ton", address, COOL)
    with database.unit_of_work() as session:
        payout_addresses.propose_own(session, account, "ton", linked, COOL)
        assert payout_addresses.usable(session, account, "ton") is None, "it was linked just now"
        session.execute(text("UPDATE identities SET verified_at = now() WHERE value = :value"), {"value": address})
        payout_addresses.propose_own(session, account, "ton", address, COOL)
        assert payout_addresses.usable(session, account, "ton").address == address  # type: ignore[union-attr]


def record(tx_hash: str = "ab" * 32) -> Record:
    return Record(tx_hash, Money(25_500_000_000, "TON"), "0:" + "1" * 64, None, clock.now())


def test_a_recorded_payout_is_never_paid_again(database: Database) -> None:
    with database.unit_of_work() as session:
        account = accounts.ensure_identity(session, "ton", "0:" + "1" * 64)
        payout = payouts.recorded(session, account, record())
        assert (payout.state, payout.is_confirmed, payout.origin) == (PayoutState.CREATED, False, "recorded")
    with pytest.raises(Conflict, match="Transaction already recorded"), database.unit_of_work() as session:
        payouts.recorded(session, account, record())
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, "ton", "0:" + "2" * 64)
        assert payout_signings.next_batch(session, "ton", "0:" + "2" * 64) is None
        (wanted,) = payout_records.waiting(session)
        assert wanted.payout_id == payout.id
        assert payout_records.note_found(session, payout.id, False, clock.now(), "another amount") is False
        assert [row.kind for row in payout_reconciliation.differences(session)] == ["amount"]
        assert payout_records.note_found(session, payout.id, True, clock.now(), "") is True
        assert payouts.get(session, payout.number).is_confirmed  # type: ignore[union-attr]


def test_one_hash_at_once_is_recorded_once(database: Database) -> None:
    with database.unit_of_work() as session:
        account = accounts.ensure_identity(session, "ton", "0:" + "1" * 64)

    def write(_: int) -> bool:
        try:
            with database.unit_of_work() as session:
                payouts.recorded(session, account, record())
            return True
        except Conflict:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(40))) == 1


def test_pages_follow_numbers_and_filters_narrow(database: Database) -> None:
    account, _ = earner(database, SOL, SOL, SOL)
    other, _ = earner(database, SOL)
    numbers = []
    for who in (account, other, account, account):
        order(database, who, SOL)
        numbers.append(all_payouts(database)[-1].number)
    with database.unit_of_work() as session:
        mine = Filter(account_id=account)
        assert [row.number for row in payouts.listed(session, mine, 2, 1)] == [numbers[2], numbers[0]]
        assert [row.number for row in payouts.page_after(session, mine, numbers[0])] == numbers[2:]
        assert payouts.listed(session, Filter(chain="ton"), 10) == []
        assert payouts.listed(session, Filter(until=clock.now() - timedelta(days=1)), 10) == []
        found = payouts.summary(session, mine)
        assert (found["total_payouts"], found["confirmed_payouts"], found["amount_minor"]) == (3, 0, 3 * SOL.minor)


def test_the_books_are_missed_when_a_payout_is_changed_behind_them(database: Database) -> None:
    account, _ = earner(database, SOL)
    payout = order(database, account, SOL)
    with database.unit_of_work() as session:
        session.execute(text("UPDATE payouts SET state = 'confirmed' WHERE id = :id"), {"id": payout})
        assert len(payout_reconciliation.ledger_differences(session)) == 2
    assert ADDRESS_RULES.cool_off_hours == RULES.cool_off_hours == 0


def test_who_is_not_paid_by_himself_keeps_nobody_from_being(database: Database, later) -> None:  # noqa: ANN001
    """An account whose newest address is not automatic is not due, however old its automatic one is."""
    first, _ = earner(database, SOL)
    with database.unit_of_work() as session:
        keys = Keypair()
        wallet, now = str(keys.pubkey()), int(clock.now().timestamp() * 1000)
        words = payout_addresses.message(first, SOLANA, wallet, now)
        signature = str(keys.sign_message(words.encode()))
        payout_addresses.propose(session, first, SOLANA, wallet, now, signature, ADDRESS_RULES, is_automatic=False)
    second, _ = earner(database, SOL)
    with database.unit_of_work() as session:
        assert payouts.due(session, "SOL", Money(1, "SOL")) == [second]


CHAIN_HASH, WALLET = "5" * 64, "hot wallet"


def on_chain(database: Database, payout_id: uuid.UUID, tx_hash: str = CHAIN_HASH) -> Outgoing:
    """What the chain shows of a transaction with this payout."""
    with database.unit_of_work() as session:
        payout = session.get_one(Payout, payout_id)
        part = Part(payout.memo, payout.destination, payout.asset, payout.amount_minor)
        return Outgoing(tx_hash, tx_hash, 1, clock.now(), (part,))


def sign(database: Database, *payout_ids: uuid.UUID, tx_hash: str = CHAIN_HASH) -> uuid.UUID:
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, SOLANA, WALLET)
        rows = [session.get_one(Payout, payout_id) for payout_id in payout_ids]
        orders = tuple(Order(row.id, row.asset, row.amount_minor, row.destination) for row in rows)
        signed = payout_signings.note_signed(session, SOLANA, WALLET, SignedPayouts(orders, Terms(), b"raw", tx_hash))
        assert signed is not None
        return signed.id


def decide(database: Database, signing_id: uuid.UUID, outcome: SigningOutcome, *paid: uuid.UUID) -> None:
    with database.unit_of_work() as session:
        assert payout_signings.decide(session, signing_id, Fate(outcome, True, frozenset(paid), "", CHAIN_HASH, 1, clock.now()))


def match(database: Database, found: Outgoing) -> payout_reconciliation.Finding:
    with database.unit_of_work() as session:
        return payout_reconciliation.match(session, SOLANA, WALLET, found)


def halted(database: Database) -> bool:
    with database.unit_of_work() as session:
        return payout_signings.lock_wallet(session, SOLANA, WALLET).halted_at is not None


def next_batch(database: Database) -> list[uuid.UUID]:
    with database.unit_of_work() as session:
        batch = payout_signings.next_batch(session, SOLANA, WALLET)
        return [] if batch is None else [order.payout_id for order in batch.orders]


def acknowledge_all(database: Database) -> None:
    with database.unit_of_work() as session:
        for item in payout_reconciliation.differences(session):
            payout_reconciliation.acknowledge(session, item.id, "operator")


def test_what_a_false_end_left_unpaid_is_not_paid_again_by_an_acknowledgement(database: Database) -> None:
    """Two payouts in one transaction, taken for expired; one is signed anew and paid; then the first lands after all."""
    account, _ = earner(database, SOL, SOL)
    one, two = order(database, account, SOL), order(database, account, SOL)
    decide(database, sign(database, one, two), SigningOutcome.EXPIRED)
    decide(database, sign(database, one, tx_hash="6" * 64), SigningOutcome.LANDED, one)
    shown = replace(on_chain(database, one), parts=(*on_chain(database, one).parts, *on_chain(database, two).parts))
    assert match(database, shown).difference and halted(database)
    acknowledge_all(database)
    assert not halted(database) and next_batch(database) == [], "it waits for an operator's word"
    with database.unit_of_work() as session:
        assert "the chain shows a payment of it" in (session.get_one(Payout, two).held_reason or "")
    assert match(database, shown).is_known
    assert not halted(database), "read again, it halts nothing that nobody could set going any more"


@pytest.mark.parametrize("outcome", [SigningOutcome.FAILED, SigningOutcome.LANDED])
def test_what_was_booked_as_not_paid_and_is_on_the_chain_halts(database: Database, outcome: SigningOutcome) -> None:
    account, _ = earner(database, SOL, SOL)
    one, two = order(database, account, SOL), order(database, account, SOL)
    paid = (one,) if outcome == SigningOutcome.LANDED else ()
    decide(database, sign(database, one, two), outcome, *paid)
    assert match(database, on_chain(database, two)).difference and halted(database)
    acknowledge_all(database)
    assert two not in next_batch(database)


def test_a_false_end_is_not_told_while_another_transaction_is_undecided(database: Database) -> None:
    account, _ = earner(database, SOL, SOL)
    one, two = order(database, account, SOL), order(database, account, SOL)
    decide(database, sign(database, one), SigningOutcome.EXPIRED)
    flying = sign(database, two, tx_hash="6" * 64)
    assert match(database, on_chain(database, one)).is_busy
    decide(database, flying, SigningOutcome.LANDED, two)
    assert match(database, on_chain(database, one)).adopted is not None
    assert not halted(database)


def test_what_is_held_since_it_was_picked_is_not_stored_and_so_not_sent(database: Database) -> None:
    """Two payouts of one batch, which the signer remembers whole; one of them is held meanwhile."""
    account, _ = earner(database, SOL, SOL)
    one, two = order(database, account, SOL), order(database, account, SOL)
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, SOLANA, WALLET)
        batch = payout_signings.next_batch(session, SOLANA, WALLET)
        assert batch is not None and payout_signings.may_be_signed(session, batch.orders)
        payout_signings.hold_open(session, two, "the chain shows a payment of it")
    with database.unit_of_work() as session:
        signed = SignedPayouts(batch.orders, Terms(), b"raw", CHAIN_HASH)
        assert not payout_signings.may_be_signed(session, batch.orders)
        assert payout_signings.note_signed(session, SOLANA, WALLET, signed) is None
    assert next_batch(database) == [one]
    shown = replace(on_chain(database, one), parts=(*on_chain(database, one).parts, *on_chain(database, two).parts))
    assert match(database, shown).adopted is not None, "what the chain shows is taken on, held or not"


def test_a_payout_that_is_on_the_chain_after_all_no_longer_waits_for_its_payee(database: Database) -> None:
    account, _ = earner(database, SOL)
    one = order(database, account, SOL)
    decide(database, sign(database, one), SigningOutcome.EXPIRED)
    with database.unit_of_work() as session:
        payout_delays.delay(session, {one: "no token account"})
    assert match(database, on_chain(database, one)).adopted is not None
    with database.unit_of_work() as session:
        found = session.get_one(Payout, one)
        assert (found.state, found.delayed_reason, found.look_again_at) == (PayoutState.SENT, None, None)


def test_a_transaction_that_only_a_lying_server_showed_is_disowned(database: Database) -> None:
    """It kept the wallet waiting. Then its payout waits for `retry` alone; should it be true after all, it is followed again."""
    account, _ = earner(database, SOL, SOL)
    one, two = order(database, account, SOL), order(database, account, SOL)
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, SOLANA, WALLET)
    found = on_chain(database, one)
    assert match(database, found).adopted is not None and next_batch(database) == []
    assert disown(database, found.tx_hash) == [one]
    assert next_batch(database) == [two], "the others go on, and it is held"
    with pytest.raises(Conflict, match="decided"):
        disown(database, found.tx_hash)
    assert match(database, found).adopted is not None and next_batch(database) == []
    assert disown(database, found.tx_hash) == [one]
    sign(database, two, tx_hash="6" * 64)
    with pytest.raises(Conflict, match="signed here"):
        disown(database, "6" * 64)
    with pytest.raises(NotFound):
        disown(database, "2" * 64)


def disown(database: Database, tx_hash: str) -> list[uuid.UUID]:
    with database.unit_of_work() as session:
        return [payout.id for payout in payout_signings.disown(session, SOLANA, tx_hash)]


def lost(account: uuid.UUID) -> Outgoing:
    """What the chain shows of a payout that the books have never heard of."""
    part = Part(str(uuid.uuid5(account, "lost")), str(Keypair().pubkey()), "SOL", SOL.minor)
    return Outgoing(CHAIN_HASH, CHAIN_HASH, 1, clock.now(), (part,))


def test_what_a_restored_backup_has_lost_is_entered_and_booked_and_not_paid_again(database: Database) -> None:
    account, _ = earner(database, SOL)
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, SOLANA, WALLET)
    found = lost(account)
    assert match(database, found).difference and halted(database)
    memo = uuid.UUID(found.parts[0].memo)
    with database.unit_of_work() as session:
        payouts.enter(session, memo, account, SOL, found.parts[0].destination)
    acknowledge_all(database)
    assert next_batch(database) == [], "it is held until it is booked"
    with database.unit_of_work() as session:
        (difference,) = payout_reconciliation.differences(session, with_acknowledged=True)
        assert payout_reconciliation.book(session, difference.id, memo).is_confirmed
    assert balances(database, account) == (0, 0)
    with database.unit_of_work() as session, pytest.raises(Conflict):
        payout_reconciliation.book(session, difference.id, memo)
    with database.unit_of_work() as session, pytest.raises(Conflict):
        payouts.enter(session, memo, account, SOL, found.parts[0].destination)
    with database.unit_of_work() as session, pytest.raises(PaymentRequired):
        payouts.enter(session, uuid.uuid4(), account, SOL, found.parts[0].destination)


def test_nothing_is_booked_while_its_transaction_may_land(database: Database) -> None:
    account, _ = earner(database, SOL)
    with database.unit_of_work() as session:
        payout_signings.ensure_wallet(session, SOLANA, WALLET)
    assert match(database, lost(account)).difference
    acknowledge_all(database)
    flying = order(database, account, SOL)
    sign(database, flying, tx_hash="6" * 64)
    with database.unit_of_work() as session, pytest.raises(Conflict):
        (difference,) = payout_reconciliation.differences(session, with_acknowledged=True)
        payout_reconciliation.book(session, difference.id, flying)


def test_whom_an_account_owes_is_paid_before_itself(database: Database) -> None:
    account, _ = earner(database, SOL)
    owed = Money(20_000_000, "SOL")
    with database.unit_of_work() as session:
        ledger.post(session, Party("debt", account), Party("fees"), owed, "test:debt")
    with pytest.raises(PaymentRequired):
        order(database, account, SOL, "test:all")
    rest = SOL - owed
    order(database, account, rest, "test:rest")
    assert balances(database, account) == (0, rest.minor)
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("debt", account), "SOL").minor == 0
