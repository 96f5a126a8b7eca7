"""Deposits on the real local chain: each is credited exactly once, told or not, late or not, whatever arrives."""

import itertools
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from sqlalchemy import func, select, update

from app.api.robocompute import deposit_states
from app.config import Settings
from app.core import audit, chain_cursors, ledger, solana_hub
from app.core.ledger import Party
from app.errors import LightyardError
from app.factory import create_app
from app.flows import payments as flows
from app.flows import stray_deposits
from app.models.payments import ChainCursor, Payment
from app.values import clock, token_accounts
from app.values.money import Money
from app.wiring import Hub
from devnet.payer import Payer, memo
from tests.api.conftest import UNKNOWN
from tests.api.robocompute.conftest import Person
from tests.factories.payouts import LOCAL_MINTS as MINTS

UNIT = 10**6


@pytest.fixture(scope="session")
def hub_wallet() -> str:
    return str(Keypair().pubkey())


@pytest.fixture
def settings(settings: Settings, hub_wallet: str) -> Settings:
    mints = ",".join(f"{asset}={mint}" for asset, mint in MINTS.items())
    return replace(settings, solana_wallet=hub_wallet, solana_mints=mints)


@pytest.fixture
def holder(payer: Payer) -> Payer:
    """A wallet on the chain with test money."""
    for asset in ("USDC", "USDT"):
        payer.mint("1000", asset)
    return payer


class Shop:
    """Somebody who deposits, and the hub that looks after the chain."""

    def __init__(self, person: Person, holder: Payer) -> None:
        self.person, self.holder, self.hub = person, holder, person.hub

    def ask(self, amount: str = "10.00", **body: Any) -> dict[str, Any]:
        answer = self.person.post("wallet/deposit", json={"amount": amount, **body})
        assert answer.status_code == 201, answer.json
        return dict(answer.json)

    def pay(self, deposit: dict[str, Any], minor: int = 10 * UNIT, *memos: str, mint: str | None = None) -> str:
        signature = self.holder.pay_token(
            deposit["pay_to"], minor, mint or deposit["mint"], 6, *(memos or (deposit["memo"],))
        )
        self.holder.wait_final(signature)
        return signature

    def tell(self, deposit: dict[str, Any], signature: str) -> Any:
        return self.person.post(f"wallet/deposits/{deposit['id']}/pay", json={"tx_signature": signature})

    def state(self, deposit: dict[str, Any]) -> dict[str, Any]:
        return dict(self.person.get(f"wallet/deposits/{deposit['id']}").json)

    def sweep(self) -> None:
        """What the worker does every second."""
        database = self.hub.database
        with database.unit_of_work() as session:
            session.execute(update(ChainCursor).values(read_at=ChainCursor.read_at - timedelta(minutes=2)))
        flows.find_unannounced(database, self.hub.chain)
        with database.unit_of_work() as session:
            waiting = flows.payments.pending(session)
        for transaction_id in waiting:
            flows.verify(database, self.hub.chain, transaction_id)

    def balance(self, asset: str = "USDC") -> str:
        return str(self.person.get("wallet/balance").json[f"{asset.lower()}_balance"])

    def let_it_expire(self, deposit: dict[str, Any]) -> None:
        with self.hub.database.unit_of_work() as session:
            values = {"expires_at": Payment.created_at - timedelta(seconds=1)}
            session.execute(update(Payment).where(Payment.id == uuid.UUID(deposit["id"])).values(values))

    def assert_books_agree(self) -> None:
        """What the ledger took from the chain is what this account has, and it agrees with itself."""
        with self.hub.database.unit_of_work() as session:
            assert audit.differences(session) == []
            for asset in ("USDC", "USDT"):
                taken = ledger.balance(session, Party("chain"), asset).minor
                assert ledger.balance(session, Party("balance", self.person.account_id), asset) == Money(-taken, asset)


@pytest.fixture
def shop(stranger: Person, holder: Payer) -> Shop:
    return Shop(stranger, holder)


def test_a_deposit_has_one_word_whatever_is_known_of_it() -> None:
    words = [deposit_states.word(*known) for known in itertools.product((True, False), repeat=3)]
    assert words == [*["confirmed"] * 4, "credited", "credited", "expired", "pending"]
    assert set(words) == set(deposit_states.STATUSES)


def test_a_deposit_says_where_to_pay_and_is_found_by_its_memo(shop: Shop, hub_wallet: str) -> None:
    deposit = shop.ask("10.00", currency="USDC", memo="June")
    assert {name: deposit[name] for name in ("status", "asset", "currency", "amount", "pay_to", "mint", "note")} == {
        "status": "pending", "asset": "USDC", "currency": "USDC", "amount": "10.00", "pay_to": hub_wallet,
        "mint": MINTS["USDC"], "note": "June",
    }
    assert deposit["id"] == deposit["deposit_id"] and deposit["memo"] == f"robocompute:{deposit['id']}"
    assert deposit["expires_at"] > deposit["created_at"] and deposit["transactions"] == []
    signature = shop.pay(deposit)
    shop.sweep()
    shop.sweep()
    after = shop.state(deposit)
    assert (after["status"], after["received"], after["tx_signature"]) == ("confirmed", "10.00", signature)
    assert after["confirmed_at"] and after["transactions"][0]["payer"] == shop.holder.address
    assert (shop.balance(), shop.balance("USDT")) == ("10.00", "0.00")
    shop.assert_books_agree()


def test_it_is_found_where_the_transaction_does_not_name_the_wallet(shop: Shop, hub_wallet: str) -> None:
    """A wallet program that knows the payee's token account names that, and nothing else of the payee."""
    shop.pay(shop.ask())
    deposit = shop.ask("3.50")
    *_, transfer = shop.holder.transfer_token(hub_wallet, 3_500_000, deposit["mint"], 6)
    assert Pubkey.from_string(hub_wallet) not in [meta.pubkey for meta in transfer.accounts]
    shop.holder.wait_final(shop.holder.send([transfer, memo(deposit["memo"])]))
    shop.sweep()
    assert (shop.state(deposit)["status"], shop.balance()) == ("confirmed", "13.50")


def test_told_by_many_at_once_and_found_at_the_same_time_it_is_credited_once(shop: Shop, settings: Settings) -> None:
    other = create_app(settings)
    deposit = shop.ask()
    signature = shop.pay(deposit)

    def tell(index: int) -> tuple[int, str]:
        person = Person.__new__(Person)
        person.__dict__ |= shop.person.__dict__
        person.client = (shop.person.client.application if index % 2 else other).test_client()
        answer = person.post(f"wallet/deposits/{deposit['id']}/pay", json={"tx_signature": signature})
        return answer.status_code, answer.json["status"]

    with ThreadPoolExecutor(12) as pool:
        sweeping = pool.submit(shop.sweep)
        assert set(pool.map(tell, range(20))) == {(200, "confirmed")}
        sweeping.result()
    assert (shop.balance(), len(shop.state(deposit)["transactions"])) == ("10.00", 1)
    shop.assert_books_agree()
    other.extensions["lightyard"].database.engine.dispose()


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize(
    ("minor", "is_late", "status", "code", "balance"),
    [
        (10 * UNIT - 1, False, "credited", "short", "9.999999"),
        (25 * UNIT, False, "confirmed", None, "25.00"),
        (10 * UNIT, True, "credited", "expired", "10.00"),
        (1, True, "credited", "short", "0.000001"),
    ],
)
def test_short_late_and_too_much_are_credited_as_they_came(
    shop: Shop, minor: int, is_late: bool, status: str, code: str | None, balance: str, is_told: bool
) -> None:
    deposit = shop.ask()
    if is_late:
        shop.let_it_expire(deposit)
        assert shop.state(deposit)["status"] == "expired"
    signature = shop.pay(deposit, minor)
    for _ in range(2):
        if is_told:
            answer = shop.tell(deposit, signature)
            assert (answer.status_code, answer.json["status"]) == (200, status), answer.json
        else:
            shop.sweep()
    (seen,) = shop.state(deposit)["transactions"]
    assert (shop.state(deposit)["status"], seen["code"], seen["amount"]) == (status, code, balance)
    assert code is None or "balance" in seen["message"]
    assert shop.balance() == balance
    shop.assert_books_agree()


def test_the_rest_and_a_second_payment_are_credited_too(shop: Shop) -> None:
    deposit = shop.ask()
    shop.pay(deposit, 4 * UNIT)
    shop.pay(deposit, 10 * UNIT)
    shop.sweep()
    assert (shop.state(deposit)["status"], shop.state(deposit)["received"]) == ("confirmed", "14.00")
    again = shop.pay(deposit, 2 * UNIT)
    answer = shop.tell(deposit, again)
    assert (answer.json["status"], answer.json["received"]) == ("confirmed", "16.00")
    assert answer.json["transactions"][-1]["code"] == "short"
    shop.pay(deposit, 10 * UNIT)
    shop.sweep()
    assert shop.state(deposit)["transactions"][-1]["code"] == "already_paid"
    assert shop.balance() == "26.00"
    shop.assert_books_agree()


def test_one_transaction_with_the_memos_of_two_deposits_is_credited_once(shop: Shop) -> None:
    first, second = shop.ask(), shop.ask()
    signature = shop.pay(first, 10 * UNIT, first["memo"], second["memo"])
    answers = [shop.tell(item, signature) for item in (first, second)]
    assert [item.status_code for item in answers] == [200, 409] and answers[0].json["status"] == "credited"
    shop.sweep()
    assert shop.balance() == "10.00"
    shop.assert_books_agree()


@pytest.mark.parametrize(
    ("trick", "reason"),
    [("other memo", "memo_wrong"), ("other token", "wrong_payee"), ("other payee", "wrong_payee"),
     ("failed", "transaction_failed"), ("taken from another", "memo_wrong")],
)
def test_what_is_no_payment_of_it_is_refused_and_credits_nothing(shop: Shop, trick: str, reason: str) -> None:
    deposit, holder = shop.ask(), shop.holder
    if trick == "other memo":
        signature = shop.pay(deposit, 10 * UNIT, f"robocompute:{uuid.uuid4()}")
    elif trick == "other token":
        signature = shop.pay(deposit, 10 * UNIT, mint=MINTS["USDT"])
    elif trick == "other payee":
        elsewhere = {**deposit, "pay_to": str(Keypair().pubkey())}
        signature = shop.pay(elsewhere)
    elif trick == "failed":
        send = [*holder.transfer_token(deposit["pay_to"], 10 * UNIT, deposit["mint"], 6), memo(deposit["memo"])]
        signature = holder.send([*send, holder.transfer(holder.address, 10**15)], skip_preflight=True)
        holder.wait_final(signature)
    else:
        signature = shop.pay(shop.ask("10.00"))
    answer = shop.tell(deposit, signature)
    assert answer.status_code == 400, answer.json
    assert answer.json["error"]["code"] == "VERIFICATION_FAILED"
    assert answer.json["error"]["details"] == {"reason": reason, "tx_signature": signature}
    shop.sweep()
    after = shop.state(deposit)
    assert (after["status"], after["received"], after["transactions"][0]["status"]) == ("pending", "0.00", "refused")
    assert shop.balance() == ("10.00" if trick == "taken from another" else "0.00")
    shop.assert_books_agree()


def test_what_no_deposit_takes_is_credited_once_by_the_operator(shop: Shop, settings: Settings) -> None:
    deposit, hub, database = shop.ask(), solana_hub.read(settings), shop.hub.database

    def credit(signature: str) -> str:
        try:
            money = stray_deposits.credit(database, shop.hub.chain, hub, signature, shop.person.account_id)
        except LightyardError as error:
            return error.code
        return f"{money} {money.asset}"

    bare = shop.holder.send(shop.holder.transfer_token(hub.wallet, 2 * UNIT, MINTS["USDC"], 6))
    shop.holder.wait_final(bare)
    with ThreadPoolExecutor(6) as pool:
        found = sorted(pool.map(credit, [bare] * 6))
    assert found == ["2.000000 USDC"] + ["TRANSACTION_USED"] * 5
    other_token = shop.pay(deposit, 3 * UNIT, mint=MINTS["USDT"])
    shop.sweep()
    assert credit(other_token) == "3.000000 USDT"
    assert shop.tell(deposit, other_token).status_code == 409
    theirs = shop.pay(deposit, 10 * UNIT)
    assert credit(theirs) == "DEPOSIT_TAKES_IT"
    shop.sweep()
    assert (credit(theirs), credit(other_token)) == ("DEPOSIT_TAKES_IT", "TRANSACTION_USED")
    nothing = shop.holder.pay(hub.wallet, 10**7)
    shop.holder.wait_final(nothing)
    assert (credit(nothing), credit(nothing)) == ("0.010000000 SOL", "TRANSACTION_USED"), "the hub takes SOL, too"
    assert credit(shop.holder.sign("never sent")) == "NOT_FOUND"
    assert (shop.balance(), shop.balance("USDT")) == ("12.00", "3.00")
    assert {item["note"] for item in shop.person.get("wallet/deposits").json["deposits"]} == {None, "credited by the operator"}
    shop.assert_books_agree()


def test_a_thief_who_shows_it_first_gains_nothing(shop: Shop, buyer: Person) -> None:
    mine = shop.ask()
    signature = shop.pay(mine)
    thief = Shop(buyer, shop.holder)
    theirs = thief.ask()
    before = thief.balance()
    assert thief.tell(theirs, signature).status_code == 400
    assert thief.tell(mine, signature).status_code == 404
    assert shop.tell(mine, signature).json["status"] == "confirmed"
    assert thief.tell(theirs, signature).status_code == 409
    assert (shop.balance(), thief.balance()) == ("10.00", before)


def test_the_chain_is_away_and_the_deposit_waits(shop: Shop, settings: Settings) -> None:
    deposit = shop.ask()
    signature = shop.pay(deposit)
    away = create_app(replace(settings, solana_rpc_url="http://127.0.0.1:9"))
    here, shop.person.client = shop.person.client, away.test_client()
    answer = shop.tell(deposit, signature)
    assert (answer.status_code, answer.json["status"]) == (200, "pending")
    assert answer.json["transactions"][0]["status"] == "pending"
    shop.person.client = here
    shop.sweep()
    assert shop.balance() == "10.00"
    away.extensions["lightyard"].database.engine.dispose()


def test_what_comes_weeks_later_is_found_all_the_same(shop: Shop, settings: Settings) -> None:
    deposit, month = shop.ask(), timedelta(days=30)
    with shop.hub.database.unit_of_work() as session:
        session.execute(update(ChainCursor).values(asked_at=clock.now() - month))
        session.execute(update(Payment).values(created_at=clock.now() - month, expires_at=clock.now() - month))
        assert chain_cursors.due(session) == []
    shop.pay(deposit)
    with shop.hub.database.unit_of_work() as session:
        solana_hub.watch(session, solana_hub.read(settings), ("USDC", "USDT"))
    with shop.hub.database.unit_of_work() as session:
        found = {item.address for item in chain_cursors.due(session)}
        own = {token_accounts.address(settings.solana_wallet, MINTS[asset]) for asset in ("USDC", "USDT")}
        assert found == {settings.solana_wallet, *own}
    shop.sweep()
    assert (shop.state(deposit)["transactions"][0]["code"], shop.balance()) == ("expired", "10.00")


def test_an_idempotency_key_makes_one_deposit_however_many_ask(shop: Shop) -> None:
    def ask(_: int) -> tuple[int, str | None]:
        answer = shop.person.post("wallet/deposit", key="one", json={"amount": "5.00"})
        return answer.status_code, answer.json.get("id")

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, range(8)))
    made = {item for item in found if item[0] == 201}
    assert len(made) == 1 and found - made <= {(409, None)}, found
    with shop.hub.database.unit_of_work() as session:
        assert session.scalar(select(func.count()).select_from(Payment)) == 1
    other = shop.person.post("wallet/deposit", key="one", json={"amount": "6.00"})
    assert (other.status_code, other.json["error"]["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


BAD_ORDERS: list[dict[str, Any]] = [
    {}, {"amount": "0"}, {"amount": "-1"}, {"amount": "0.0000001"}, {"amount": "NaN"}, {"amount": "1e400"}, {"amount": True},
    {"amount": "ten"}, {"amount": [1]}, {"amount": None}, {"amount": "1000000001"}, {"amount": "1", "currency": "SOL"},
    {"amount": "1", "currency": 7}, {"amount": "1", "memo": "x" * 201}, {"amount": "1", "memo": 7},
]


def test_bad_input_is_400_with_a_reason(shop: Shop) -> None:
    for body in BAD_ORDERS:
        answer = shop.person.post("wallet/deposit", json=body)
        assert answer.status_code == 400 and answer.json["error"]["message"], (body, answer.json)
    assert shop.person.get("wallet/deposits").json == {"deposits": [], "count": 0}


def test_signatures_that_are_none_are_400(shop: Shop) -> None:
    deposit = shop.ask()
    for text in ("", "x", "0" * 88, "1" * 1000, shop.holder.address, 7, None):
        answer = shop.tell(deposit, text)  # type: ignore[arg-type]
        assert answer.status_code == 400 and "tx_signature" in answer.json["error"]["message"], (text, answer.json)
    unknown = shop.tell(deposit, shop.holder.sign("never sent"))
    assert (unknown.status_code, unknown.json["status"]) == (200, "pending")


def test_a_deposit_is_its_owners_alone(shop: Shop, buyer: Person) -> None:
    deposit = shop.ask()
    calls: list[Callable[[str], Any]] = [
        lambda each: buyer.get(f"wallet/deposits/{each}"),
        lambda each: buyer.post(f"wallet/deposits/{each}/pay", json={"tx_signature": shop.holder.sign("x")}),
    ]
    for call in calls:
        for each in (deposit["id"], UNKNOWN):
            answer = call(each)
            assert answer.status_code == 404, answer.json
            assert answer.json["error"]["code"] == "DEPOSIT_NOT_FOUND"
            assert answer.json["error"]["details"] == {"deposit_id": each}
        assert call("x").status_code == 400
    assert buyer.get("wallet/deposits").json["count"] == 0
    assert [item["id"] for item in shop.person.get("wallet/deposits").json["deposits"]] == [deposit["id"]]


def test_so_many_unpaid_deposits_and_no_more(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.robocompute.wallet.DEPOSITS_MOST", 2)
    first, _ = shop.ask(), shop.ask()
    answer = shop.person.post("wallet/deposit", json={"amount": "1"})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "TOO_MANY_DEPOSITS")
    shop.let_it_expire(first)
    shop.ask()
    listed = shop.person.get("wallet/deposits?limit=2&offset=1").json
    assert listed["count"] == 2 and listed["deposits"][-1]["status"] == "expired"


def test_a_hub_without_a_wallet_takes_none_and_says_so(client: FlaskClient, stranger: Person, settings: Settings) -> None:
    bare = create_app(replace(settings, solana_wallet=""))
    stranger.client = bare.test_client()
    answer = stranger.post("wallet/deposit", json={"amount": "1"})
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "SOLANA_NOT_TAKEN")
    bare.extensions["lightyard"].database.engine.dispose()


def test_the_balance_tells_what_is_held_staked_and_on_its_way(hub: Hub, buyer: Person) -> None:
    moves = {"held": 250_000, "stake": 3 * UNIT, "payout": UNIT // 2}
    with hub.database.unit_of_work() as session:
        own = Party("balance", buyer.account_id)
        for kind, minor in moves.items():
            ledger.post(session, own, Party(kind, buyer.account_id), Money(minor, "USDC"), f"test:{uuid.uuid4()}")
        ledger.post(session, Party("chain"), own, Money(1_500_000_001, "SOL"), f"test:{uuid.uuid4()}")
    found = buyer.get("wallet/balance").json
    assert (found.pop("wallet_address"), found.pop("topup_deposit_id")) == (buyer.wallet, None)
    assert found.pop("sol_balance") == "1.500000001"
    words = ("balance", "held", "staked", "unstaking", "paying_out")
    words, amounts = ("balance", "held", "staked", "unstaking", "paying_out"), ("996.25", "0.25", "3.00", "0.00", "0.50")
    assert tuple(found[f"usdc_{word}"] for word in words) == amounts
    assert {found[f"usdt_{word}"] for word in words} == {"0.00"} and len(found) == 10
