"""The signer pays fees of strangers' transfers: out of a wallet of its own, within limits of its own, and signs nothing else."""

import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.system_program import TransferParams
from solders.system_program import transfer as send_sol
from solders.transaction import VersionedTransaction

from app.signer import keys
from app.signer.desk import Desk, Limits
from app.signer.journal import Journal
from app.values.payouts import Order, Refusal, Refused, Terms
from app.values.x402 import Requirement
from tests.factories import x402_payments as made
from tests.factories.payouts import LOCAL_MINTS, signer_process

PAYER, BLOCKHASH = Keypair(), str(Keypair().pubkey())
FEE = 10_001  # of a well-behaved client: two signatures, and a price of one millionth of a lamport for each compute unit
LIMITS = Limits({}, {}, 0, {}, fee_lamports=2 * FEE, day_fee_lamports=3 * FEE)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_desk(folder: Path, clock: Clock, limits: Limits = LIMITS) -> Desk:
    return Desk(keys.load(folder, make=True), Journal(folder / "journal.jsonl"), limits, clock)


def way(desk: Desk, memo: str = "rnp:x") -> Requirement:
    fee_payer = desk.fee_payer()
    assert fee_payer is not None
    return Requirement("solana:x", LOCAL_MINTS["USDC"], 1, str(Keypair().pubkey()), memo, fee_payer, 60)


def payment(desk: Desk, memo: str = "rnp:x") -> bytes:
    return made.payment(PAYER, way(desk, memo), BLOCKHASH)


def refused(answer: object) -> Refusal:
    assert isinstance(answer, Refused), answer
    return answer.reason


def test_a_transfer_is_signed_once_for_its_fee_whoever_asks_again(tmp_path: Path, clock: Clock) -> None:
    desk = make_desk(tmp_path, clock)
    raw = payment(desk)
    first = desk.cosign(raw)
    assert isinstance(first, bytes) and VersionedTransaction.from_bytes(first).verify_with_results() == [True, True]
    for again in (desk, make_desk(tmp_path, clock)):
        for _ in range(5):
            assert again.cosign(raw) == again.cosign(first) == first
    assert isinstance(desk.cosign(payment(desk, "2")), bytes) and isinstance(desk.cosign(payment(desk, "3")), bytes)
    assert refused(desk.cosign(payment(desk, "4"))) == Refusal.DAY_LIMIT
    assert refused(make_desk(tmp_path, clock).cosign(payment(desk, "4"))) == Refusal.DAY_LIMIT, "it remembers"
    clock.now += 86_400
    assert isinstance(make_desk(tmp_path, clock).cosign(payment(desk, "4")), bytes)


def test_what_may_cost_too_much_or_move_more_than_a_strangers_tokens_is_not_signed(tmp_path: Path, clock: Clock) -> None:
    desk = make_desk(tmp_path, clock)
    wanted, own = way(desk), Keypair.from_seed(keys.load(tmp_path, make=False).seeds[keys.FEES]).pubkey()
    pay, say = made.transfer(PAYER, wanted), made.memo("x")
    steal = send_sol(TransferParams(from_pubkey=own, to_pubkey=PAYER.pubkey(), lamports=1))
    dear = made.signed(PAYER, wanted.fee_payer, [*made.budget(1_400_000, 10_000), pay, say], BLOCKHASH)
    assert refused(desk.cosign(dear)) == Refusal.PAYOUT_LIMIT
    hot = made.signed(PAYER, desk.addresses()["solana"], [*made.budget(), pay, say], BLOCKHASH)
    for raw in (
        made.signed(PAYER, wanted.fee_payer, [*made.budget(), pay, say, steal], BLOCKHASH),
        made.signed(PAYER, wanted.fee_payer, [steal], BLOCKHASH),
        made.payment(PAYER, replace(wanted, fee_payer=str(Keypair().pubkey())), BLOCKHASH),
        hot,
        b"",
        b"x" * 2000,
    ):
        assert refused(desk.cosign(raw)) == Refusal.INVALID
    assert (tmp_path / "journal.jsonl").read_text() == ""


def test_the_wallet_for_fees_pays_nobody_and_the_hot_wallet_no_fee(tmp_path: Path, clock: Clock) -> None:
    desk = make_desk(tmp_path, clock, Limits({}, {}, 0, {}))
    assert desk.fee_payer() not in desk.addresses().values() and set(desk.addresses()) == {"solana", "ton"}
    assert refused(desk.cosign(payment(desk))) == Refusal.PAYOUT_LIMIT, "nothing is set, nothing is paid"
    order = Order(uuid.uuid4(), "SOL", 1, str(PAYER.pubkey()))
    assert refused(desk.sign(keys.FEES, [order], Terms(blockhash=BLOCKHASH), [])) == Refusal.INVALID


def test_over_the_socket(tmp_path: Path) -> None:
    with signer_process(tmp_path, SIGNER_MAX_FEE_LAMPORTS=str(FEE)) as process:
        fee_payer = process.client.fee_payer()
        assert fee_payer is not None and fee_payer not in process.client.addresses().values()
        wanted = Requirement("solana:x", LOCAL_MINTS["USDC"], 1, str(PAYER.pubkey()), "x", fee_payer, 60)
        raw = made.payment(PAYER, wanted, BLOCKHASH)
        answer = process.client.cosign(raw)
        assert isinstance(answer, bytes) and answer == process.client.cosign(raw)
        assert refused(process.client.cosign(raw[:-1])) == Refusal.INVALID
