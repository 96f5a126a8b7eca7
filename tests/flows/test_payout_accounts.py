"""Payees' token accounts, on a real SVM: opened where a payout is worth the rent, waited for where it is not."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from app.adapters.chains.solana_payouts import FEE_LAMPORTS, RENT_LAMPORTS, SolanaPayouts
from app.core import payouts as core_payouts
from app.core.payouts import PayoutRules
from app.db import Database
from app.flows import payouts
from app.models.payouts import Payout
from app.values import clock
from app.values.money import Money
from app.values.payouts import Order, read_minimums
from devnet.payer import Payer
from devnet.tokens import TOKEN_PROGRAM, associated_address
from tests.factories.chain_nodes import Node
from tests.factories.payouts import (
    LOCAL_MINTS,
    SignerProcess,
    all_differences,
    all_payouts,
    all_signings,
    earner,
    fund_solana,
    order,
    signer_process,
    solana_balance,
    until,
)

SMALL, LARGE, SOL = Money(500_000, "USDC"), Money(10_000_000, "USDC"), Money(50_000_000, "SOL")
OPENS_FROM = read_minimums("10")
LAG_SECONDS = 600  # the clock is moved beside the chain's
MINT = Pubkey.from_string(LOCAL_MINTS["USDC"])
CLOSE, SET_AUTHORITY, ACCOUNT_OWNER = b"\x09", b"\x06", b"\x02"


class Counted(SolanaPayouts):
    """The real adapter, which counts what it asks for."""

    def __init__(self, node: Node) -> None:
        super().__init__((node.url,), 5, LOCAL_MINTS, LAG_SECONDS, OPENS_FROM)
        self.asked: list[str] = []

    def _ask(self, url: str, method: str, *params: Any) -> Any:
        self.asked.append(method)
        return super()._ask(url, method, *params)

    def looks(self) -> int:
        """Calls for token accounts since it was last asked."""
        found, self.asked = self.asked.count("getMultipleAccounts"), []
        return found


class Blind(SolanaPayouts):
    """Sees an account that was closed a moment ago: a race, whoever wins it."""

    def unopened(self, orders: Sequence[Order]) -> Mapping[uuid.UUID, str]:
        return {}


@pytest.fixture
def signer(tmp_path: Any, node: Node) -> Iterator[SignerProcess]:
    with signer_process(tmp_path, PAYOUT_OPENS_ACCOUNT_FROM="10") as found:
        fund_solana(node, found.client.addresses()["solana"])
        yield found


@pytest.fixture
def chain(node: Node) -> Counted:
    return Counted(node)


@pytest.fixture
def later() -> Iterator[Callable[[int], None]]:
    """Moves the clock; the real one comes back."""
    yield lambda seconds: clock.replace_clock(lambda: datetime.now(UTC) + timedelta(seconds=seconds))
    clock.replace_clock(None)


def states(database: Database) -> list[str]:
    return [payout.state for payout in all_payouts(database)]


def sweep(database: Database, chain: SolanaPayouts, signer: SignerProcess, node: Node, times: int = 2) -> None:
    for _ in range(times):
        assert payouts.advance_if_possible(database, chain, signer.client)
        node.pass_slots()


def holding(wallet: str) -> Pubkey:
    return associated_address(Pubkey.from_string(wallet), MINT)


def is_there(node: Node, wallet: str) -> bool:
    return node.rpc("getAccountInfo", str(holding(wallet)), {"encoding": "base64"})["value"] is not None


def close(node: Node, keypair: Keypair) -> None:
    """The payee takes his tokens elsewhere, and the rent home."""
    payer, wallet = Payer(node.url, keypair), str(keypair.pubkey())
    payer.airdrop(10**8)
    mine, owner = holding(wallet), keypair.pubkey()
    shape = [AccountMeta(mine, False, True), AccountMeta(owner, False, True), AccountMeta(owner, True, False)]
    away = payer.transfer_token(str(Keypair().pubkey()), solana_balance(node, wallet, "USDC"), str(MINT), 6)
    payer.send([*away, Instruction(TOKEN_PROGRAM, CLOSE, shape)])
    node.pass_slots()
    assert not is_there(node, wallet)


def test_a_small_payout_waits_for_its_payee_s_account_and_then_goes_by_itself(
    database: Database, node: Node, signer: SignerProcess, chain: Counted, later: Callable[[int], None]
) -> None:
    account, wallet = earner(database, SMALL)
    order(database, account, SMALL)
    sweep(database, chain, signer, node)
    (payout,) = all_payouts(database)
    assert payout.state == "created" and all_signings(database) == [] and not is_there(node, wallet)
    assert core_payouts.reason(payout) == (
        f"the wallet {wallet} has no USDC account: open one, or let at least 10 USDC gather for one payout"
    )
    node.rpc("lightyardFaucet", wallet, 1, "USDC")
    node.pass_slots()
    sweep(database, chain, signer, node)
    assert states(database) == ["created"], "it is not looked at all the time"
    later(61)
    sweep(database, chain, signer, node)
    (payout,) = all_payouts(database)
    assert payout.state == "confirmed" and core_payouts.reason(payout) is None
    assert solana_balance(node, wallet, "USDC") == SMALL.minor + 1
    sweep(database, chain, signer, node, 1)
    assert all_differences(database) == []


def test_a_closed_account_is_opened_again_for_what_is_worth_it_only(
    database: Database, node: Node, signer: SignerProcess, chain: Counted, later: Callable[[int], None]
) -> None:
    keypair, hot = Keypair(), signer.client.addresses()["solana"]
    account, wallet = earner(database, LARGE, LARGE, SMALL, keypair=keypair)
    order(database, account, LARGE)
    sweep(database, chain, signer, node)
    assert states(database) == ["confirmed"] and solana_balance(node, wallet, "USDC") == LARGE.minor
    close(node, keypair)
    before = solana_balance(node, hot)
    order(database, account, SMALL)
    sweep(database, chain, signer, node, 3)
    assert states(database) == ["confirmed", "created"] and not is_there(node, wallet)
    assert solana_balance(node, hot) == before, "not even a fee was paid for it"
    order(database, account, LARGE)
    sweep(database, chain, signer, node)
    assert solana_balance(node, hot) == before - FEE_LAMPORTS - RENT_LAMPORTS
    later(61)
    sweep(database, chain, signer, node)
    assert states(database) == ["confirmed"] * 3 and solana_balance(node, wallet, "USDC") == LARGE.minor + SMALL.minor
    assert solana_balance(node, hot) == before - 2 * FEE_LAMPORTS - RENT_LAMPORTS
    sweep(database, chain, signer, node, 1)
    assert all_differences(database) == []


def test_an_account_closed_while_its_payout_is_on_its_way_is_not_opened_either(
    database: Database, node: Node, signer: SignerProcess, chain: Counted
) -> None:
    """The signer's transaction itself opens nothing: whoever closes his account at the right moment gains nothing."""
    hot = signer.client.addresses()["solana"]
    account, wallet = earner(database, SMALL)
    order(database, account, SMALL)
    before = solana_balance(node, hot)
    sweep(database, Blind((node.url,), 5, LOCAL_MINTS, 120, OPENS_FROM), signer, node, 1)
    sweep(database, chain, signer, node, 2)
    assert [signing.outcome for signing in all_signings(database)] == ["failed"]
    (payout,) = all_payouts(database)
    assert payout.state == "expired" and payout.held_reason is None and "open one" in (payout.delayed_reason or "")
    assert not is_there(node, wallet) and solana_balance(node, hot) == before - FEE_LAMPORTS
    node.rpc("lightyardFaucet", wallet, 1, "USDC")
    node.pass_slots()
    with database.unit_of_work() as session:
        core_payouts.retry(session, payout.id)
    sweep(database, chain, signer, node)
    assert states(database) == ["confirmed"]


def test_lamports_at_the_address_are_no_account_and_another_s_account_is_not_paid(
    database: Database, node: Node, signer: SignerProcess, chain: Counted
) -> None:
    sender = Payer(node.url)
    sender.airdrop(10**9)
    lamports, lamports_wallet = earner(database, SMALL)
    sender.send([sender.transfer(str(holding(lamports_wallet)), 10**7)])
    keypair = Keypair()
    given, given_wallet = earner(database, SMALL, keypair=keypair)
    node.rpc("lightyardFaucet", given_wallet, 1, "USDC")
    data = SET_AUTHORITY + ACCOUNT_OWNER + b"\x01" + bytes(Keypair().pubkey())
    shape = [AccountMeta(holding(given_wallet), False, True), AccountMeta(keypair.pubkey(), True, False)]
    sender.send([Instruction(TOKEN_PROGRAM, data, shape)], (keypair,))
    node.pass_slots()
    order(database, lamports, SMALL)
    order(database, given, SMALL)
    for _ in until(60):
        sweep(database, chain, signer, node, 1)
        first, second = all_payouts(database)
        if second.held_reason:
            break
    assert first.state == "created" and first.delayed_reason and not first.held_reason
    assert second.state == "expired" and second.failures == 3
    shown = node.rpc("getTokenAccountBalance", str(holding(given_wallet)), {"commitment": "finalized"})
    assert shown["value"]["amount"] == "1"


def test_many_that_wait_keep_no_other_waiting_and_are_looked_at_together(
    database: Database, node: Node, signer: SignerProcess, chain: Counted, later: Callable[[int], None]
) -> None:
    waiting = [earner(database, Money(3 * SMALL.minor, "USDC")) for _ in range(50)]
    for account, _ in waiting:
        for _ in range(3):
            order(database, account, SMALL)
    account, wallet = earner(database, SOL)
    order(database, account, SOL)
    sweep(database, chain, signer, node)
    assert states(database) == ["created"] * 150 + ["confirmed"] and solana_balance(node, wallet) == SOL.minor
    assert chain.looks() == 2, "a hundred payouts at a time"
    sweep(database, chain, signer, node)
    assert chain.looks() == 0
    later(61)
    sweep(database, chain, signer, node)
    assert chain.looks() == 2
    node.rpc("lightyardFaucet", waiting[7][1], 1, "USDC")
    node.pass_slots()
    later(130)
    sweep(database, chain, signer, node)
    assert states(database).count("confirmed") == 4 and solana_balance(node, waiting[7][1], "USDC") == 3 * SMALL.minor + 1
    with database.unit_of_work() as session:
        pauses = {row.look_again_at for row in session.query(Payout).filter(Payout.look_again_at.is_not(None))}
    assert min(filter(None, pauses)) > clock.now()


def test_what_is_due_gathers_until_it_opens_an_account(
    database: Database, node: Node, signer: SignerProcess, chain: Counted, later: Callable[[int], None]
) -> None:
    rules = PayoutRules(read_minimums("0.01"), 0, OPENS_FROM)
    keypair = Keypair()
    _, wallet = earner(database, SMALL, keypair=keypair)
    assert payouts.open_due(database, rules) == 1
    sweep(database, chain, signer, node, 1)
    earner(database, SMALL, keypair=keypair, address=False)
    assert payouts.open_due(database, rules) == 0, "one waits: a second would only wait beside it"
    earner(database, LARGE, keypair=keypair, address=False)
    assert payouts.open_due(database, rules) == 1
    sweep(database, chain, signer, node)
    assert states(database) == ["created", "confirmed"] and all_payouts(database)[1].amount_minor == LARGE.minor + SMALL.minor
    later(61)
    sweep(database, chain, signer, node)
    assert solana_balance(node, wallet, "USDC") == LARGE.minor + 2 * SMALL.minor
