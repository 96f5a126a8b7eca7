"""Settling payments by x402 while nodes swallow, drop and refuse, processes die, and others try at the same time."""

import base64
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from app.adapters.chains.solana import SolanaGateway
from app.adapters.chains.solana_settlements import SolanaSettlements
from app.core import audit, ledger, payments, topups, x402_settlements
from app.core.ledger import Party
from app.core.solana_hub import SolanaHub
from app.db import Database
from app.errors import ChainUnavailable, Conflict, LightyardError
from app.flows.payments import verify
from app.flows.x402 import Facilitator
from app.models.payments import Payment
from app.models.x402 import X402Settlement
from app.values import clock, x402
from app.values.money import Money
from app.values.x402 import Requirement
from tests.factories import x402_payments as made
from tests.factories.chain_nodes import Node
from tests.factories.payouts import LOCAL_MINTS, Mischief, SignerProcess, between, signer_process, solana_balance, solana_chain
from tests.factories.render_market import Renders

NETWORK, UNIT = "solana:test", 10**6


class Shop(Renders):
    """An account that tops up 1 USDC at a time, and a hub that settles it."""

    def __init__(self, database: Database, node: Node, url: str, signer: SignerProcess) -> None:
        super().__init__(database, "0", "USDC")
        self.node, self.signer, self.payer, self.wallet = node, signer, Keypair(), str(Keypair().pubkey())
        self.mischief = Mischief()
        urls = (url,)
        chain = SolanaSettlements(urls, 2, solana_chain(*urls, timeout_seconds=2), NETWORK)
        self.worker = Facilitator(database, chain, SolanaGateway(urls, 2), signer.client)
        fee_payer = signer.client.fee_payer()
        assert fee_payer is not None
        self.fee_payer = fee_payer
        node.rpc("requestAirdrop", fee_payer, 10**9)
        node.rpc("lightyardFaucet", str(self.payer.pubkey()), 100 * UNIT, "USDC")
        node.rpc("lightyardFaucet", self.wallet, 1, "USDC")
        node.pass_slots(40)
        self.worker.open_desk()

    def ask(self) -> Payment:
        with self.database.unit_of_work() as session:
            return topups.ask(session, SolanaHub(self.wallet, LOCAL_MINTS), self.account_id, Money(UNIT, "USDC"), 900)

    def sign(self, payment: Payment, minor: int = UNIT) -> tuple[x402.Offer, x402.Transfer]:
        way = Requirement(NETWORK, LOCAL_MINTS["USDC"], UNIT, self.wallet, payment.memo, self.fee_payer, 900)
        latest = self.node.rpc("getLatestBlockhash", {"commitment": "processed"})["value"]["blockhash"]
        raw = made.payment(self.payer, way, latest, minor=minor)
        return x402.read_offer(made.header(raw, way)), x402.read_transfer(raw)

    def begin(self, payment: Payment, minor: int = UNIT) -> uuid.UUID:
        offer, transfer = self.sign(payment, minor)
        with self.database.unit_of_work() as session:
            place = x402_settlements.desk(session, 1)
            return x402_settlements.begin(session, session.get_one(Payment, payment.id), place, offer, transfer).id

    def row(self, settlement_id: uuid.UUID) -> X402Settlement:
        with self.database.unit_of_work() as session:
            return x402_settlements.get(session, settlement_id)

    def state(self, payment: Payment) -> str:
        with self.database.unit_of_work() as session:
            return session.get_one(Payment, payment.id).state

    def follow(self, slots: int = 40) -> None:
        self.node.pass_slots(slots)
        self.look()

    def look(self) -> None:
        self.worker.follow_signed()
        self.worker.follow_received()

    def assert_paid_once(self, times: int = 1) -> None:
        assert solana_balance(self.node, self.wallet, "USDC") == times * UNIT + 1
        assert self.balance() == Money(times * UNIT, "USDC")
        with self.database.unit_of_work() as session:
            assert ledger.balance(session, Party("chain"), "USDC").minor == -times * UNIT
            assert audit.differences(session) == []


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    with signer_process(tmp_path) as found:
        yield found


@pytest.fixture
def shop(database: Database, node: Node, signer: SignerProcess) -> Iterator[Shop]:
    mischief = Mischief()
    with between(node.url, mischief) as url:
        found = Shop(database, node, url, signer)
        found.mischief = mischief
        yield found


def test_an_empty_wallet_is_looked_at_again_until_it_can_pay(shop: Shop) -> None:
    with shop.database.unit_of_work() as session:
        x402_settlements.note_fee_payer(session, shop.fee_payer, NETWORK, 0)  # as before the faucet gave it anything
        assert x402_settlements.desk(session, 1) is None
    shop.worker.open_desk()
    with shop.database.unit_of_work() as session:
        assert x402_settlements.desk(session, 1) is not None


@pytest.mark.parametrize("trouble", ["swallow", "refuse"])
def test_a_node_that_took_it_and_did_not_say_so_costs_nothing(shop: Shop, trouble: str) -> None:
    payment = shop.ask()
    settlement_id = shop.begin(payment)
    setattr(shop.mischief, trouble, 1)
    with pytest.raises(ChainUnavailable):
        shop.worker.settle(settlement_id)
    assert shop.row(settlement_id).state == "signed", "unknown is not failed"
    assert shop.begin(payment) == settlement_id, "the same transaction again is the same settlement"
    with pytest.raises(Conflict) as refused:
        shop.begin(payment, UNIT + 1)
    assert refused.value.code == "SETTLEMENT_IN_PROGRESS"
    shop.follow()
    assert (shop.row(settlement_id).state, shop.state(payment)) == ("landed", "confirmed")
    shop.follow()
    shop.assert_paid_once()


def test_what_a_node_lost_is_sent_again_and_what_expired_may_be_paid_anew(shop: Shop) -> None:
    lost, late = shop.ask(), shop.ask()
    first, second = shop.begin(lost), shop.begin(late)
    shop.mischief.drop = 1
    shop.worker.settle(first)
    shop.follow(1)
    assert shop.row(first).times_sent == 2
    shop.mischief.drop = 10
    shop.worker.settle(second)
    shop.follow()
    assert (shop.row(first).state, shop.row(second).state) == ("landed", "signed")
    shop.follow(400)
    row = shop.row(second)
    assert (row.state, row.code, shop.state(late)) == ("expired", "transaction_failed", "open")
    shop.mischief.drop = 0
    shop.worker.settle(shop.begin(late))
    shop.follow()
    assert shop.state(late) == "confirmed"
    shop.assert_paid_once(2)


def test_what_fails_on_the_chain_pays_nothing_and_is_told(shop: Shop) -> None:
    """The payer moves his tokens away between the look and the landing."""
    payment = shop.ask()
    settlement_id = shop.begin(payment, 100 * UNIT)
    shop.mischief.drop = 1
    shop.worker.settle(settlement_id)
    elsewhere = Requirement(NETWORK, LOCAL_MINTS["USDC"], UNIT, shop.wallet, "away", shop.fee_payer, 900)
    away = made.payment(shop.payer, elsewhere, shop.row(settlement_id).blockhash)
    answer = shop.signer.client.cosign(away)
    assert isinstance(answer, bytes)
    shop.worker.chain.send(answer)
    shop.follow(1)
    shop.follow()
    row = shop.row(settlement_id)
    assert (row.state, row.code, shop.state(payment)) == ("failed", "transaction_failed", "open")
    assert shop.balance().minor == 0


def test_many_at_once_take_one_transaction_for_one_payment(shop: Shop) -> None:
    payment, other = shop.ask(), shop.ask()
    offers = [shop.sign(payment, UNIT + extra) for extra in (0, 0, 1, 2)]

    def bring(item: tuple[x402.Offer, x402.Transfer]) -> uuid.UUID | None:
        try:
            with shop.database.unit_of_work() as session:
                place = x402_settlements.desk(session, 1)
                return x402_settlements.begin(session, session.get_one(Payment, payment.id), place, *item).id
        except LightyardError as error:
            assert error.code == "SETTLEMENT_IN_PROGRESS", error
            return None

    with ThreadPoolExecutor(4) as pool:
        taken = {found for found in pool.map(bring, offers) if found is not None}
        assert len(taken) == 1
        list(pool.map(shop.worker.settle, [*taken] * 4))
    (settlement_id,) = taken
    row = shop.row(settlement_id)
    assert row.state == "signed" and row.times_sent == 1
    shop.follow()
    assert shop.state(payment) == "confirmed" and shop.state(other) == "open"
    with shop.database.unit_of_work() as session:
        shown = payments.shown_for(session, payment.id)
    assert [(item.state, item.signature) for item in shown] == [("accepted", row.tx_signature)]


def _dies_at(point: str, armed: Path, act: Callable[[], None]) -> None:
    """Do it in a process of its own that is killed there."""
    (armed / point).touch()
    child = os.fork()
    if child == 0:
        os.environ["LIGHTYARD_FAILPOINTS_FOLDER"] = str(armed)
        try:
            act()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, point


@pytest.mark.parametrize("point", ["x402.signed", "x402.stored", "x402.sent"])
def test_a_worker_that_dies_anywhere_pays_once(shop: Shop, point: str, tmp_path: Path) -> None:
    payment = shop.ask()
    settlement_id = shop.begin(payment)
    shop.database.engine.dispose()
    _dies_at(point, tmp_path, lambda: shop.worker.settle(settlement_id))
    shop.worker.settle(settlement_id)
    shop.follow(1)
    shop.follow()
    assert (shop.row(settlement_id).state, shop.state(payment)) == ("landed", "confirmed")
    shop.assert_paid_once()


def test_the_signer_pays_fees_and_nothing_else(shop: Shop) -> None:
    before = solana_balance(shop.node, shop.fee_payer)
    shop.worker.settle(shop.begin(shop.ask()))
    shop.follow()
    assert before - solana_balance(shop.node, shop.fee_payer) == 10_000
    assert Pubkey.from_string(shop.fee_payer) != Pubkey.from_string(shop.signer.client.addresses()["solana"])


def test_one_that_no_node_can_read_keeps_no_other_waiting(shop: Shop) -> None:
    bad, good = shop.begin(shop.ask()), shop.begin(shop.ask())
    with shop.database.unit_of_work() as session:
        session.get_one(X402Settlement, bad).raw = b"x"
        for settlement_id, seconds in ((bad, 60), (good, 30)):
            session.get_one(X402Settlement, settlement_id).created_at -= timedelta(seconds=seconds)
    shop.look()
    assert (shop.row(bad).state, shop.row(good).state) == ("received", "signed")
    with shop.database.unit_of_work() as session:
        session.get_one(X402Settlement, bad).created_at -= timedelta(seconds=100)
    shop.follow()
    assert (shop.row(bad).state, shop.row(bad).code, shop.row(good).state) == ("refused", "not_settled", "landed")
    with shop.database.unit_of_work() as session:
        assert [x402_settlements.forget_refused(session, seconds) for seconds in (60, 0)] == [0, 1]
    shop.assert_paid_once()


def test_what_the_nodes_have_forgotten_ends_and_its_payer_pays_anew(shop: Shop) -> None:
    """A node without the blocks of then can't prove that it never landed; who pays is not kept waiting for ever all the same."""
    payment = shop.ask()
    settlement_id = shop.begin(payment)
    shop.mischief.drop = 10**6
    shop.worker.settle(settlement_id)

    def grow_old(hours: int) -> str:
        with shop.database.unit_of_work() as session:
            row = session.get_one(X402Settlement, settlement_id)
            row.slot, row.signed_at = -1, clock.now() - timedelta(hours=hours)  # before the first block that any node has
        shop.look()
        return shop.row(settlement_id).state

    assert grow_old(2) == "signed", "it may land yet"
    shop.node.pass_slots(800)
    assert grow_old(0) == "signed", "it may have landed"
    assert grow_old(2) == "expired"
    shop.mischief.drop = 0
    shop.worker.settle(shop.begin(payment))
    shop.follow()
    assert shop.state(payment) == "confirmed"
    shop.assert_paid_once()


def test_a_payer_who_signs_it_otherwise_keeps_nothing_open(shop: Shop) -> None:
    """He sends the hub's transaction himself, with another signature of his own; and it lands after the payment had expired."""
    payment, other = shop.ask(), shop.ask()
    settlement_id, waiting = shop.begin(payment), shop.begin(other)
    shop.mischief.drop = 10**6
    for each in (settlement_id, waiting):
        shop.worker.settle(each)
    with shop.database.unit_of_work() as session:
        session.get_one(Payment, payment.id).expires_at = clock.now() - timedelta(seconds=30)
        drawn = {x402_settlements.undecided(session, 1)[0].id for _ in range(60)}
    assert drawn == {settlement_id, waiting}, "each has its turn, however many wait before it"
    raw = made.signed_otherwise(shop.row(settlement_id).raw, shop.payer)
    shop.node.rpc("sendTransaction", base64.b64encode(raw).decode(), {"encoding": "base64"})
    shop.follow()
    assert (shop.row(settlement_id).state, shop.state(payment)) == ("landed", "confirmed"), "it was handed over in time"
    shop.assert_paid_once()


def test_nodes_that_differ_for_ever_are_not_asked_for_ever(shop: Shop) -> None:
    """What the payment was judged by decides."""
    settlement_id = shop.begin(shop.ask())
    shop.worker.settle(settlement_id)
    shop.node.pass_slots(40)
    with shop.database.unit_of_work() as session:
        shown_id = x402_settlements.shown_id(session, x402_settlements.get(session, settlement_id))
    assert shown_id is not None and verify(shop.database, shop.worker.payments, shown_id) == "accepted"
    shop.mischief.forget = True
    shop.look()
    assert shop.row(settlement_id).state == "landed"
    shop.assert_paid_once()
