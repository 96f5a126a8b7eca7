"""What the hub asks of TON, the same over both transports: toncenter v2, and pytonlib's JSON."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytoniq_core import Address

from app.adapters.chains.liteserver import Liteservers
from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.adapters.chains.toncenter import Toncenter
from app.errors import ChainUnavailable, ChainUnreadable
from app.values import ton_address
from app.values.ton_address import TESTNET, TonAddress
from app.values.ton_chain import ZERO_HASH
from devnet.ton.messages import comment_body, internal
from devnet.ton.wallets import Outgoing, WalletV4
from tests.factories.missing import go_without
from tests.factories.ton import TON, TonChain

SECONDS = 5
WALLET_V4 = "feb5ff6820e2ff0d9483e7e0d62c817d846789fb4ae580c878866d959dabd5c0"


@pytest.fixture(params=["toncenter", "pytonlib"])
def ton(request: pytest.FixtureRequest, ton_chain: TonChain, tmp_path: Path) -> Iterator[CheckedTonGateway]:
    if request.param == "toncenter":
        yield CheckedTonGateway(Toncenter((ton_chain.api_url,), SECONDS, pause=lambda _: None))
        return
    try:
        from tests.factories import tonlib
    except ImportError:
        go_without("pytonlib is not installed (`make liteservers`), so its seam was not tried")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytonlib.client.TonLib", tonlib.StandIn)
        patch.setattr(tonlib.StandIn, "api_url", ton_chain.api_url)
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"liteservers": [{"ip": 1, "port": 1, "id": {}}], "validator": {}}))
        servers = Liteservers(config, tmp_path / "keys", SECONDS)
        yield CheckedTonGateway(servers)
        servers.close()


def read(text: str) -> TonAddress:
    return ton_address.read(text, TESTNET)


def transfer(name: str, to: TonAddress, nano: int, seqno: int, valid_until: int = 2**32 - 1) -> bytes:
    message = internal(Address(to.raw), nano, comment_body("paid by hand"), bounce=False)
    return bytes(WalletV4.named(name).transfer([Outgoing(message)], seqno, valid_until).to_boc())


def test_the_chain_tells_its_moment(ton_chain: TonChain, ton: CheckedTonGateway) -> None:
    before = ton.now()
    assert (ton_chain.advance(3, 60), ton.now().masterchain_seqno) == (before.masterchain_seqno + 3,) * 2
    assert ton.now().unix_time >= before.unix_time + 60


def test_accounts_are_told_as_they_are(ton_chain: TonChain, ton: CheckedTonGateway) -> None:
    alice, nobody = read(ton_chain.wallet("alice", 10 * TON)), read(ton_chain.wallet("nobody"))
    empty = ton.account(nobody)
    assert (empty.state, empty.balance_nano, empty.last_lt, empty.last_hash) == ("uninitialized", 0, 0, ZERO_HASH)
    given = ton.account(alice)
    assert (given.state, given.balance_nano, ton.wallet_seqno(alice)) == ("uninitialized", 10 * TON, None)
    ton_chain.pay("alice", nobody.friendly(), TON, "x")
    found = ton.account(alice)
    assert (found.state, found.code_hash, ton.wallet_seqno(alice)) == ("active", WALLET_V4, 1)
    assert found.as_of == ton.now() and 8 * TON < found.balance_nano < 9 * TON
    assert ton.account(nobody).balance_nano == TON


def test_transactions_are_read_whole_and_linked(ton_chain: TonChain, ton: CheckedTonGateway) -> None:
    alice, bob = read(ton_chain.wallet("alice", 10 * TON)), read(ton_chain.wallet("bob"))
    ton_chain.pay("alice", bob.friendly(), 2 * TON, "rayment:1")
    sent, given = ton.transactions(alice, 10)
    (got,) = ton.transactions(bob, 10)
    assert got.in_message is not None and sent.in_message is not None
    assert (got.in_message.source, got.in_message.destination) == (alice, bob)
    assert (got.in_message.value_nano, got.in_message.comment, got.in_message.op) == (2 * TON, "rayment:1", 0)
    assert (got.is_aborted, got.is_undeployed, got.is_returned, got.exit_code) == (True, True, False, None), "no code, money kept"
    assert [(message.destination, message.value_nano) for message in sent.out_messages] == [(bob, 2 * TON)]
    assert sent.out_messages[0].message_hash == got.in_message.message_hash and sent.in_message.source is None
    assert (sent.exit_code, sent.action_code, sent.is_aborted) == (0, 0, False)
    assert (sent.previous_lt, sent.previous_hash) == (given.lt, given.hash) and given.previous_hash == ZERO_HASH
    assert (ton.account(alice).last_lt, ton.account(alice).last_hash) == (sent.lt, sent.hash)


def test_a_history_is_walked_in_pages(ton_chain: TonChain, ton: CheckedTonGateway) -> None:
    bob = read(ton_chain.wallet("bob"))
    for number in range(25):
        ton_chain.fund(bob.friendly(), TON, f"gift {number}")
    account = ton.account(bob)
    found = ton.transactions(bob, 100, account.last_lt, account.last_hash)
    assert [item.in_message.comment for item in found if item.in_message] == [f"gift {number}" for number in reversed(range(25))]
    third = found[2]
    assert ton.transactions(bob, 5, third.lt, third.hash) == found[2:7]
    assert ton.transactions(bob, 100, third.lt, third.hash, to_lt=found[5].lt) == found[2:5]
    with pytest.raises(ChainUnreadable):
        ton.transactions(bob, 5, third.lt, found[0].hash)


def test_a_long_comment_goes_on_in_other_cells(ton_chain: TonChain, ton: CheckedTonGateway) -> None:
    bob = read(ton_chain.wallet("bob"))
    ton_chain.fund(bob.friendly(), TON, words := "überlang " * 90)
    (got,) = ton.transactions(bob, 1)
    assert got.in_message is not None and got.in_message.comment == words


def test_what_bounced_is_told_on_both_sides(ton_chain: TonChain, ton: CheckedTonGateway) -> None:
    alice, nobody = read(ton_chain.wallet("alice", 10 * TON)), read(ton_chain.wallet("nobody"))
    ton_chain.pay("alice", nobody.friendly(), 2 * TON, "lost", bounce=True)
    (refused,) = ton.transactions(nobody, 10)
    back = ton.transactions(alice, 1)[0].in_message
    assert (refused.is_aborted, refused.is_returned) == (True, True)
    assert back is not None and back.is_bounced and back.comment is None and back.source == nobody
    assert TON < back.value_nano < 2 * TON


def test_jettons_are_told_by_the_wallet_that_the_master_names(ton_chain: TonChain, ton: CheckedTonGateway) -> None:
    alice, bob = read(ton_chain.wallet("alice", 10 * TON)), read(ton_chain.wallet("bob", TON))
    ton_chain.mint(alice.friendly(), 5_000_000)
    ton_chain.pay_jetton("alice", bob.friendly(), 1_500_000, "order 7")
    told = ton_chain.jetton_wallet(bob.friendly())
    wallet = ton.jetton_wallet(read(told["master"]), bob)
    assert wallet == read(told["wallet"])
    notice = ton.transactions(bob, 1)[0].in_message
    assert notice is not None and notice.jetton is not None and notice.source == wallet
    assert (notice.jetton.amount_minor, notice.jetton.sender, notice.jetton.comment) == (1_500_000, alice, "order 7")
    arrived = ton.transactions(wallet, 1)[0].in_message
    assert arrived is not None and arrived.jetton is not None
    assert (arrived.jetton.amount_minor, arrived.jetton.sender, arrived.jetton.comment) == (1_500_000, alice, "order 7")
    with pytest.raises(ChainUnreadable):
        ton.jetton_wallet(bob, alice)


def test_a_message_is_sent_and_a_refused_one_is_not_known_to_be_lost(ton_chain: TonChain, ton: CheckedTonGateway) -> None:
    alice, bob = read(ton_chain.wallet("alice", 10 * TON)), read(ton_chain.wallet("bob"))
    message = transfer("alice", bob, TON, 0)
    ton.send(message)
    ton_chain.advance(3)
    assert (ton.wallet_seqno(alice), ton.account(bob).balance_nano) == (1, TON)
    with pytest.raises(ChainUnavailable):
        ton.send(message)
    with pytest.raises(ChainUnavailable):
        ton.send(b"no cells")


def test_methods_run_and_those_that_are_none_are_unreadable(ton_chain: TonChain, ton: CheckedTonGateway) -> None:
    alice = read(ton_chain.wallet("alice", 10 * TON))
    ton_chain.pay("alice", alice.friendly(), TON)
    key = WalletV4.named("alice").key.verify_key.encode()
    assert ton.run_get_method(alice, "get_public_key") == [int.from_bytes(key)]
    data = ton.run_get_method(read(ton_chain.dev("jettons")["USDT"]["master"]), "get_jetton_data")
    assert data[:2] == [0, -1] and all(isinstance(item, bytes) for item in data[2:])
    for address, name in ((alice, "no_such_method"), (read(ton_chain.wallet("nobody")), "seqno")):
        with pytest.raises(ChainUnreadable):
            ton.run_get_method(address, name)


Question = Callable[[CheckedTonGateway, TonAddress], object]
QUESTIONS: list[Question] = [
    lambda ton, address: ton.now(),
    lambda ton, address: ton.account(address),
    lambda ton, address: ton.wallet_seqno(address),
    lambda ton, address: ton.transactions(address, 10),
    lambda ton, address: ton.run_get_method(address, "seqno"),
    lambda ton, address: ton.send(base64.b64decode("te6cckEBAQEAAgAAAEysuc0=")),
]


@pytest.mark.parametrize("breaks", ["error", "refuse", "garbage", "html", "close"])
def test_a_server_that_says_nothing_sound_leaves_everything_unknown(
    ton_chain: TonChain, ton: CheckedTonGateway, breaks: str
) -> None:
    alice = read(ton_chain.wallet("alice", 10 * TON))
    ton_chain.pay("alice", alice.friendly(), TON)
    assert ton.wallet_seqno(alice) == 1
    ton_chain.faults(breaks=breaks)
    for ask in QUESTIONS:
        with pytest.raises(ChainUnavailable):
            ask(ton, alice)
    ton_chain.heal()
    assert ton.wallet_seqno(alice) == 1, "and it is asked again"


@pytest.mark.parametrize("fault", ["claimed", "hidden", "hidden_head"])
def test_a_server_that_lies_is_not_believed(ton_chain: TonChain, ton: CheckedTonGateway, fault: str) -> None:
    bob = read(ton_chain.wallet("bob"))
    for number in range(3):
        ton_chain.fund(bob.friendly(), TON, f"gift {number}")
    last, middle, _ = (row["transaction_id"]["hash"] for row in ton_chain.transactions(bob.friendly()))
    account = ton.account(bob)
    lie = {"claimed": {"claim_hash": "A" * 43 + "="}, "hidden": {"hide": [middle]}, "hidden_head": {"hide": [last]}}[fault]
    ton_chain.faults(**lie)
    with pytest.raises(ChainUnreadable):
        ton.transactions(bob, 10, account.last_lt, account.last_hash)
