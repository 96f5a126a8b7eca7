"""What is owed reaches its wallet once, on a real SVM, whatever RPC nodes and our own memory do."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from solders.keypair import Keypair

from app.adapters.chains.solana_payouts import SolanaPayouts
from app.adapters.signer import SignerClient
from app.core import audit, ledger, payout_reconciliation
from app.core import payouts as core_payouts
from app.core.ledger import Party
from app.core.payouts import PayoutRules
from app.db import Database
from app.errors import ChainUnavailable
from app.flows import payouts
from app.values import clock
from app.values.money import Money
from app.values.payouts import read_minimums
from devnet.payer import Payer
from tests.factories.chain_nodes import Node
from tests.factories.payouts import (
    LOCAL_MINTS,
    RULES,
    Mischief,
    SignerProcess,
    all_differences,
    all_payouts,
    all_signings,
    between,
    earner,
    fund_solana,
    order,
    signer_process,
    solana_balance,
    solana_chain,
    until,
)
from tests.flows.conftest import Backups

SOL, USDC = Money(50_000_000, "SOL"), Money(2_500_000, "USDC")


@pytest.fixture
def wallet(node: Node, signer: SignerProcess) -> str:
    address = signer.client.addresses()["solana"]
    fund_solana(node, address)
    return address


def advance(database: Database, node: Node, signer: SignerProcess, *urls: str) -> None:
    payouts.advance_if_possible(database, solana_chain(*(urls or (node.url,))), signer.client)


def finish(database: Database, node: Node, signer: SignerProcess, *urls: str) -> None:
    """Sweeps until nothing is open; slots pass between them."""
    for _ in until(60):
        advance(database, node, signer, *urls)
        if all(payout.state in ("confirmed", "cancelled") or payout.held_reason for payout in all_payouts(database)):
            return
        node.pass_slots()


def assert_paid_once(database: Database, node: Node, expected: dict[str, int], asset: str = "SOL") -> None:
    """Every wallet has exactly what it was owed, and books and chain agree."""
    for destination, minor in expected.items():
        assert solana_balance(node, destination, asset) == minor
    confirmed = [payout for payout in all_payouts(database) if payout.state == "confirmed" and payout.origin == "engine"]
    paid = sum(payout.amount_minor for payout in confirmed if payout.asset == asset)
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("chain"), asset).minor == paid
        assert audit.differences(session) == [] and payout_reconciliation.ledger_differences(session) == []




def test_a_balance_reaches_its_wallet(database: Database, node: Node, signer: SignerProcess, wallet: str) -> None:
    account, destination = earner(database, SOL)
    assert payouts.open_due(database, RULES) == 1 and payouts.open_due(database, RULES) == 0
    advance(database, node, signer)
    assert [payout.state for payout in all_payouts(database)] == ["sent"]
    finish(database, node, signer)
    (payout,) = all_payouts(database)
    assert payout.state == "confirmed" and payout.tx_hash and payout.transaction_time and payout.source == wallet
    shown = node.rpc("getTransaction", payout.tx_hash, {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0})
    memos = [item["parsed"] for item in shown["transaction"]["message"]["instructions"] if item["program"] == "spl-memo"]
    assert memos == [str(payout.id)]
    assert_paid_once(database, node, {destination: SOL.minor})
    advance(database, node, signer)
    assert all_signings(database)[0].seen_at is not None and all_differences(database) == []


def test_four_payouts_share_a_transaction_and_tokens_get_their_accounts(
    database: Database, node: Node, signer: SignerProcess, wallet: str
) -> None:
    owed = {}
    for _ in range(5):
        account, destination = earner(database, USDC)
        order(database, account, USDC)
        owed[destination] = USDC.minor
    finish(database, node, signer)
    assert [len(payout.tx_hash or "") > 80 for payout in all_payouts(database)] == [True] * 5
    assert len(all_signings(database)) == 2, "four and one"
    assert_paid_once(database, node, owed, "USDC")
    advance(database, node, signer)
    assert all_differences(database) == []


def test_the_same_bytes_are_sent_again_after_a_time_out(
    database: Database, node: Node, signer: SignerProcess, wallet: str
) -> None:
    account, destination = earner(database, SOL)
    order(database, account, SOL)
    mischief = Mischief(swallow=1)
    with between(node.url, mischief) as url:
        payouts.advance_if_possible(database, solana_chain(url, timeout_seconds=1), signer.client)
        assert [payout.state for payout in all_payouts(database)] == ["signed"], "it has arrived, and nobody knows"
        finish(database, node, signer, url)
    assert len(all_signings(database)) == 1
    assert_paid_once(database, node, {destination: SOL.minor})


def test_a_dropped_transaction_is_signed_anew_once_it_has_expired(
    database: Database, node: Node, signer: SignerProcess, wallet: str
) -> None:
    account, destination = earner(database, SOL)
    order(database, account, SOL)
    with between(node.url, Mischief(drop=1)) as url:
        advance(database, node, signer, url)
    for _ in range(3):
        node.rpc("svm_dropTransactions", 1)
        advance(database, node, signer)
    assert len(all_signings(database)) == 1, "nothing else is signed while it may land"
    node.rpc("svm_dropTransactions", 0)
    node.pass_slots(400)
    finish(database, node, signer)
    first, second = all_signings(database)
    assert (first.outcome, second.outcome) == ("expired", "landed")
    assert_paid_once(database, node, {destination: SOL.minor})


@pytest.mark.parametrize(
    "mischief",
    [
        Mischief(forget=True, ahead=10_000),
        Mischief(invert=True),
        Mischief(behind_seconds=4000),
        Mischief(refuse=1),
        Mischief(fail=3),
    ],
    ids=["forgets", "inverts", "lags", "refuses", "fails"],
)
def test_one_node_that_lies_decides_nothing(
    database: Database, node: Node, signer: SignerProcess, wallet: str, mischief: Mischief
) -> None:
    """Two nodes, one of them not to be trusted: at most once while it lies, and in the end exactly once."""
    account, destination = earner(database, SOL)
    order(database, account, SOL)
    with between(node.url, mischief) as url:
        for _ in range(6):
            advance(database, node, signer, node.url, url)
            node.pass_slots(100)
        assert solana_balance(node, destination) in (0, SOL.minor)
    finish(database, node, signer)
    assert_paid_once(database, node, {destination: SOL.minor})


def test_sweeps_at_once_pay_once(database: Database, node: Node, signer: SignerProcess, wallet: str) -> None:
    owed = {}
    for _ in range(6):
        account, destination = earner(database, SOL)
        order(database, account, SOL)
        owed[destination] = SOL.minor
    for _ in range(6):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: advance(database, node, signer), range(4)))
        node.pass_slots()
    finish(database, node, signer)
    assert_paid_once(database, node, owed)


def test_what_landed_and_failed_pays_nothing_and_is_signed_anew(
    database: Database, node: Node, signer: SignerProcess, wallet: str
) -> None:
    """A payment below what an account must hold fails on the chain; after three such transactions an operator looks."""
    account, destination = earner(database, Money(10_000_000, "SOL"))
    tiny = Money(1000, "SOL")
    with database.unit_of_work() as session:
        rules = PayoutRules(read_minimums("0"), 0)
        tiny_id = core_payouts.request(session, account, tiny, "test:tiny", rules).id
    finish(database, node, signer)
    (payout,) = all_payouts(database)
    assert payout.state == "expired" and payout.failures == 3 and payout.held_reason
    assert [signing.outcome for signing in all_signings(database)] == ["failed"] * 3
    with database.unit_of_work() as session:
        core_payouts.cancel(session, tiny_id)
        assert ledger.balance(session, Party("balance", account), "SOL").minor == 10_000_000
        assert payout_reconciliation.ledger_differences(session) == []


def test_an_empty_wallet_keeps_other_assets_going(database: Database, node: Node, signer: SignerProcess) -> None:
    address = signer.client.addresses()["solana"]
    node.rpc("requestAirdrop", address, 10**10)
    node.pass_slots()
    first, token_destination = earner(database, USDC)
    order(database, first, USDC)
    second, destination = earner(database, SOL)
    order(database, second, SOL)
    for _ in range(3):
        advance(database, node, signer)
        node.pass_slots()
    assert [payout.state for payout in all_payouts(database)] == ["created", "confirmed"]
    fund_solana(node, address)
    finish(database, node, signer)
    assert_paid_once(database, node, {token_destination: USDC.minor}, "USDC")
    assert_paid_once(database, node, {destination: SOL.minor})


def test_an_asset_whose_day_is_over_keeps_no_other_waiting(database: Database, node: Node, tmp_path: Path) -> None:
    with signer_process(tmp_path, SIGNER_MAX_DAY="USDC=1,SOL=1", SIGNER_MAX_PAYOUT="USDC=3,SOL=1") as signer:
        fund_solana(node, signer.client.addresses()["solana"])
        order(database, earner(database, USDC)[0], USDC)
        account, destination = earner(database, SOL)
        order(database, account, SOL)
        for _ in range(2):
            advance(database, node, signer)
            node.pass_slots()
        assert [payout.state for payout in all_payouts(database)] == ["created", "confirmed"]
        assert_paid_once(database, node, {destination: SOL.minor})


def test_an_asset_without_a_mint_keeps_no_other_waiting(
    database: Database, node: Node, signer: SignerProcess, wallet: str
) -> None:
    """USDT may be on a balance that came from elsewhere, and have no mint here."""
    holder, _ = earner(database, Money(2_500_000, "USDT"))
    order(database, holder, Money(2_500_000, "USDT"))
    account, destination = earner(database, SOL)
    order(database, account, SOL)
    chain = SolanaPayouts((node.url,), 5, {"USDC": LOCAL_MINTS["USDC"]}, 120)
    for _ in until(60):
        payouts.advance_if_possible(database, chain, signer.client)
        if all_payouts(database)[1].state == "confirmed":
            break
        node.pass_slots()
    assert all_payouts(database)[0].state == "created"
    assert_paid_once(database, node, {destination: SOL.minor})


@pytest.mark.parametrize("valid", [None, [], {"value": None}, "yes", 1])
def test_a_node_that_answers_beside_the_point_is_unknown(valid: object) -> None:
    """Not a crash: the other chain's payouts come after this one's."""

    def ask(url: str, method: str, *params: object) -> object:
        latest = {"context": {"slot": 5}, "value": {"blockhash": "1" * 32, "lastValidBlockHeight": 9}}
        return {"getLatestBlockhash": latest, "getBlockTime": clock.now().timestamp(), "isBlockhashValid": valid}[method]

    chain = solana_chain("http://127.0.0.1:1")
    chain._ask = ask  # type: ignore[method-assign]
    with pytest.raises(ChainUnavailable):
        chain.terms("anybody")


def test_a_payout_above_the_signer_s_limit_is_held_for_an_operator(
    database: Database, node: Node, tmp_path: Path
) -> None:
    with signer_process(tmp_path, SIGNER_MAX_PAYOUT="SOL=0.01") as signer:
        fund_solana(node, signer.client.addresses()["solana"])
        account, _ = earner(database, SOL)
        order(database, account, SOL)
        finish(database, node, signer)
    (payout,) = all_payouts(database)
    assert payout.state == "created" and "the limit of one payout is 0.010000000" in (payout.held_reason or "")


def test_a_stranger_transaction_halts_the_wallet_until_it_is_acknowledged(
    database: Database, node: Node, signer: SignerProcess, wallet: str
) -> None:
    account, destination = earner(database, SOL)
    elsewhere = earner(database)[1]
    leave(node, signer, elsewhere, 7_000_000)
    order(database, account, SOL)
    for _ in range(3):
        advance(database, node, signer)
        node.pass_slots()
    (difference,) = all_differences(database)
    assert difference.kind == "unrecorded" and elsewhere in difference.detail
    assert all_signings(database) == []
    with database.unit_of_work() as session:
        assert payout_reconciliation.acknowledge(session, difference.id, "operator")
    finish(database, node, signer)
    assert_paid_once(database, node, {destination: SOL.minor})


def leave(node: Node, signer: SignerProcess, to: str, lamports: int) -> None:
    """The hot wallet's key used elsewhere, beside the engine."""
    seed = bytes(json.loads((signer.home / "signer" / "solana.json").read_text()))
    Payer(node.url, Keypair.from_seed(seed)).pay(to, lamports, "by hand")
    node.pass_slots()


def test_a_restored_backup_pays_nothing_twice(
    database: Database, node: Node, signer: SignerProcess, wallet: str, restore: Backups
) -> None:
    """The books forget what happened since the backup: the chain and the signer have not."""
    paid, first = earner(database, SOL)
    order(database, paid, SOL)
    flying, second = earner(database, SOL)
    backup = restore.keep()
    finish(database, node, signer)
    with database.unit_of_work() as session:
        assert ledger.balance(session, Party("payout", paid), "SOL").minor == 0
    restored = backup()
    finish(restored, node, signer)
    assert_paid_once(restored, node, {first: SOL.minor})
    assert len(all_signings(restored)) == 1 and all_differences(restored) == []


def test_a_restored_backup_follows_what_was_on_its_way(
    database: Database, node: Node, signer: SignerProcess, wallet: str, restore: Backups
) -> None:
    account, destination = earner(database, SOL)
    order(database, account, SOL)
    backup = restore.keep()
    node.rpc("svm_dropTransactions", 1)
    advance(database, node, signer)
    (lost,) = all_signings(database)
    restored = backup()
    advance(restored, node, signer)
    (found,) = all_signings(restored)
    assert (found.tx_hash, bytes(found.raw)) == (lost.tx_hash, bytes(lost.raw)), "the signer gave the same bytes"
    finish(restored, node, signer)
    assert_paid_once(restored, node, {destination: SOL.minor})


def test_a_restored_backup_that_never_knew_a_payout_halts(
    database: Database, node: Node, signer: SignerProcess, wallet: str, restore: Backups
) -> None:
    account, destination = earner(database, SOL)
    other, waiting = earner(database, SOL)
    backup = restore.keep()
    order(database, account, SOL)
    finish(database, node, signer)
    restored = backup()
    order(restored, other, SOL)
    for _ in range(3):
        advance(restored, node, signer)
        node.pass_slots()
    (difference,) = all_differences(restored)
    assert difference.kind == "unrecorded" and destination in difference.detail
    assert solana_balance(node, waiting) == 0
    assert all_signings(restored) == []


def test_no_signer_no_payout(database: Database, node: Node, tmp_path: Path) -> None:
    account, _ = earner(database, SOL)
    order(database, account, SOL)
    assert not payouts.advance_if_possible(database, solana_chain(node.url), SignerClient(tmp_path / "nobody.sock"))
    assert all_signings(database) == []
