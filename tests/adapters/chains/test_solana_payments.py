"""Every payment trick, played on a real SVM, read by the gateway and judged."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from app.adapters.chains.solana import SolanaGateway
from app.values.chain import Sighting
from app.values.payment_check import Verdict, judge
from devnet.genesis import MINTS
from devnet.payer import CREATE_IDEMPOTENT, Payer, memo
from devnet.tokens import ASSOCIATED_PROGRAM, TOKEN_PROGRAM, associated_address
from tests.factories.chain_nodes import Node
from tests.factories.lookup_tables import pay_by_lookup_table

MEMO = "rayment:7f3a"
PRICE = 5_000_000
USDC, USDT = str(MINTS["USDC"]), str(MINTS["USDT"])
RECOVER_NESTED = b"\x02"


class Case:
    """A client and a payee with money of every kind, and what the hub makes of their transactions."""

    def __init__(self, node: Node) -> None:
        self.node, self.gateway = node, SolanaGateway((node.url,), 10)
        self.payer, self.payee = Payer(node.url), Payer(node.url)
        for wallet in (self.payer, self.payee):
            wallet.airdrop(10**10)
        self.payer.mint("100", "USDC")
        self.payer.mint("100", "USDT")

    def see(self, signature: str) -> Sighting:
        found = self.gateway.sighting(signature)
        assert found is not None
        return found

    def judge(self, signature: str, mint: str | None = None, pay_to: str | None = None, **changed: object) -> Verdict:
        self.node.pass_slots()
        seen = self.see(signature)
        now = datetime.now(UTC)
        expected = {"created_at": now - timedelta(minutes=1), "expires_at": now + timedelta(minutes=10), "amount_minor": PRICE}
        return judge(seen, pay_to=pay_to or self.payee.address, mint=mint, memo=MEMO, **{**expected, **changed})  # type: ignore[arg-type]

    def tokens(self, minor: int, mint: str) -> list[Instruction]:
        return self.payer.transfer_token(self.payee.address, minor, mint, 6)


@pytest.fixture
def case(node: Node) -> Case:
    return Case(node)


def pay(case: Case) -> str:
    return case.payer.pay(case.payee.address, PRICE, MEMO)


def pay_more(case: Case) -> str:
    return case.payer.pay(case.payee.address, PRICE + 1, MEMO)


def pay_in_two(case: Case) -> str:
    halves = [case.payer.transfer(case.payee.address, PRICE // 2) for _ in range(2)]
    return case.payer.send([halves[0], memo(MEMO), halves[1]])


def pay_short(case: Case) -> str:
    return case.payer.pay(case.payee.address, PRICE - 1, MEMO)


def pay_without_memo(case: Case) -> str:
    return case.payer.pay(case.payee.address, PRICE)


def pay_with_other_memo(case: Case) -> str:
    return case.payer.pay(case.payee.address, PRICE, MEMO + "0")


def pay_with_memo_of_many_lines(case: Case) -> str:
    return case.payer.pay(case.payee.address, PRICE, f"x; [12] {MEMO}")


def pay_with_two_memos(case: Case) -> str:
    return case.payer.pay(case.payee.address, PRICE, MEMO, "rayment:other")


def pay_with_the_memo_twice(case: Case) -> str:
    return case.payer.pay(case.payee.address, PRICE, MEMO, MEMO)


def pay_somebody_else(case: Case) -> str:
    return case.payer.pay(case.payer.address, PRICE, MEMO)


def fail(case: Case) -> str:
    too_much = case.payer.transfer(case.payee.address, 10**12)
    paid = case.payer.transfer(case.payee.address, PRICE)
    return case.payer.send([paid, memo(MEMO), too_much], skip_preflight=True)


def take_back(case: Case) -> str:
    back = case.payer.transfer(case.payer.address, PRICE, case.payee.keypair)
    return case.payer.send([case.payer.transfer(case.payee.address, PRICE), memo(MEMO), back], (case.payee.keypair,))


def take_back_in_part(case: Case) -> str:
    back = case.payer.transfer(case.payer.address, PRICE // 2, case.payee.keypair)
    return case.payer.send([case.payer.transfer(case.payee.address, PRICE), memo(MEMO), back], (case.payee.keypair,))


def pay_in_tokens(case: Case) -> str:
    return case.payer.pay_token(case.payee.address, PRICE, USDC, 6, MEMO)


def pay_in_other_tokens(case: Case) -> str:
    return case.payer.pay_token(case.payee.address, PRICE, USDT, 6, MEMO)


def pay_tokens_short(case: Case) -> str:
    return case.payer.pay_token(case.payee.address, PRICE - 1, USDC, 6, MEMO)


def pay_half_in_each_token(case: Case) -> str:
    return case.payer.send([*case.tokens(PRICE // 2, USDC), *case.tokens(PRICE // 2, USDT), memo(MEMO)])


def take_tokens_back(case: Case) -> str:
    case.payer.send(case.tokens(1, USDC))  # the payee's account is there before
    back = case.payee.transfer_token(case.payer.address, PRICE, USDC, 6)
    return case.payer.send([*case.tokens(PRICE, USDC), memo(MEMO), *back], (case.payee.keypair,))


def fail_in_tokens(case: Case) -> str:
    return case.payer.send([*case.tokens(PRICE, USDC), memo(MEMO), *case.tokens(10**12, USDC)], skip_preflight=True)


@pytest.mark.parametrize(
    ("play", "mint", "state", "code"),
    [
        (pay, None, "accepted", None),
        (pay_more, None, "accepted", None),
        (pay_in_two, None, "accepted", None),
        (pay_short, None, "refundable", "short"),
        (pay_without_memo, None, "refused", "memo_missing"),
        (pay_with_other_memo, None, "refused", "memo_wrong"),
        (pay_with_memo_of_many_lines, None, "refused", "memo_wrong"),
        (pay_with_two_memos, None, "refundable", "memo_twice"),
        (pay_with_the_memo_twice, None, "refundable", "memo_twice"),
        (pay_somebody_else, None, "refused", "wrong_payee"),
        (fail, None, "refused", "transaction_failed"),
        (take_back, None, "refused", "taken_back"),
        (take_back_in_part, None, "refundable", "short"),
        (pay_in_tokens, USDC, "accepted", None),
        (pay_in_other_tokens, USDC, "refused", "wrong_payee"),
        (pay_in_tokens, None, "refused", "wrong_payee"),
        (pay, USDC, "refused", "wrong_payee"),
        (pay_tokens_short, USDC, "refundable", "short"),
        (pay_half_in_each_token, USDC, "refundable", "short"),
        (take_tokens_back, USDC, "refused", "taken_back"),
        (fail_in_tokens, USDC, "refused", "transaction_failed"),
    ],
)
def test_a_payment_is_judged_by_what_really_happened(
    case: Case, play: Callable[[Case], str], mint: str | None, state: str, code: str | None
) -> None:
    verdict = case.judge(play(case), mint)
    assert (verdict.state, verdict.code) == (state, code)
    if state == "accepted":
        assert verdict.received_minor == (PRICE + 1 if play is pay_more else PRICE)
        assert verdict.payer == case.payer.address
    if state == "refundable":
        assert 0 < verdict.received_minor <= PRICE and verdict.payer == case.payer.address


def test_sol_that_a_program_moved_counts(case: Case) -> None:
    """The associated-token program tops an account up to its rent by a call to the system program."""
    wallet, mint = Keypair().pubkey(), MINTS["USDT"]
    account = associated_address(wallet, mint)
    case.payer.pay(str(account), 1_000_000)
    keys = (account, wallet, mint, Pubkey(bytes(32)), TOKEN_PROGRAM)
    metas = [AccountMeta(case.payer.keypair.pubkey(), True, True), *(AccountMeta(key, False, key == account) for key in keys)]
    signature = case.payer.send([Instruction(ASSOCIATED_PROGRAM, CREATE_IDEMPOTENT, metas), memo(MEMO)])
    rest = 2_039_280 - 1_000_000
    verdict = case.judge(signature, pay_to=str(account), amount_minor=rest)
    assert (verdict.state, verdict.received_minor, verdict.payer) == ("accepted", rest, case.payer.address)


def test_tokens_that_a_program_moved_count(case: Case) -> None:
    """The associated-token program recovers a nested account by a call to the token program."""
    payee = case.payee.keypair.pubkey()
    outer = associated_address(payee, MINTS["USDT"])
    for owner, asset in ((str(payee), "USDT"), (str(payee), "USDC"), (str(outer), "USDC")):
        case.node.rpc("lightyardFaucet", owner, PRICE, asset)
    nested, target = associated_address(outer, MINTS["USDC"]), associated_address(payee, MINTS["USDC"])
    written = {nested, target, payee}
    keys = (nested, MINTS["USDC"], target, outer, MINTS["USDT"], payee, TOKEN_PROGRAM)
    metas = [AccountMeta(key, key == payee, key in written) for key in keys]
    signature = case.payer.send([Instruction(ASSOCIATED_PROGRAM, RECOVER_NESTED, metas), memo(MEMO)], (case.payee.keypair,))
    verdict = case.judge(signature, USDC)
    assert (verdict.state, verdict.received_minor, verdict.payer) == ("accepted", PRICE, str(outer))


def test_a_payee_out_of_a_lookup_table_is_paid_all_the_same(case: Case) -> None:
    signature = pay_by_lookup_table(case.node, case.payer, case.payee.keypair.pubkey(), PRICE, MEMO)
    verdict = case.judge(signature)
    assert (verdict.state, verdict.received_minor, verdict.payer) == ("accepted", PRICE, case.payer.address)


def test_what_is_not_final_yet_is_pending_whether_it_failed_or_not(case: Case) -> None:
    good, bad = pay(case), fail(case)
    assert case.gateway.sighting(good) is None
    case.node.pass_slots(1)
    now = datetime.now(UTC)
    for signature in (good, bad):
        seen = case.see(signature)
        assert not seen.is_final
        verdict = judge(
            seen, pay_to=case.payee.address, mint=None, amount_minor=PRICE, memo=MEMO, created_at=now, expires_at=now
        )
        assert (verdict.state, verdict.code) == ("pending", "not_final")
    assert (case.judge(good).state, case.judge(bad).state) == ("accepted", "refused")


def test_a_payment_after_the_quote_expired_or_before_it_was_made_is_owed_back(case: Case) -> None:
    signature = pay(case)
    now = datetime.now(UTC)
    late = case.judge(signature, created_at=now - timedelta(hours=1), expires_at=now - timedelta(seconds=30))
    assert (late.state, late.code, late.received_minor) == ("refundable", "expired", PRICE)
    old = case.judge(signature, created_at=now + timedelta(minutes=10), expires_at=now + timedelta(hours=1))
    assert (old.state, old.code, old.received_minor) == ("refundable", "before_order", PRICE)


def test_a_transaction_that_expired_before_landing_is_not_there(case: Case) -> None:
    late = case.payer.sign_payment(case.payee.address, PRICE, MEMO)
    case.node.pass_slots(151)
    signature = case.payer.send_signed(late, skip_preflight=True)
    case.node.pass_slots(200)
    assert signature == str(VersionedTransaction.from_bytes(base64.b64decode(late)).signatures[0])
    assert case.gateway.sighting(signature) is None


def test_balance_health_and_the_list_of_signatures(case: Case) -> None:
    assert case.gateway.health()
    signature = pay(case)
    before = case.gateway.balance(case.payee.address)
    assert case.gateway.signatures_for(case.payee.address) == []
    case.node.pass_slots()
    assert case.gateway.balance(case.payee.address) - before in (PRICE, 10**10 + PRICE)
    listed = case.gateway.signatures_for(case.payee.address)
    assert listed[0] == (signature, f"[{len(MEMO)}] {MEMO}")
    assert case.gateway.signatures_for(case.payee.address, until=signature) == []
    assert case.gateway.signatures_for(case.payee.address, before=signature) == listed[1:]
