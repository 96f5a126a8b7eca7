"""A toncenter that drips, floods, hangs or answers beside the point: nothing is known, and nobody waits for ever."""

import base64
import json
import time

import pytest

from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.adapters.chains.toncenter import PACE_SECONDS, Toncenter
from app.db import Database
from app.errors import ChainUnavailable, ChainUnreadable
from app.values.ton_address import TESTNET, TonAddress, read
from tests.adapters.chains.test_solana_troubles import troubled
from tests.factories.ton import TON, TonChain

ACCOUNT = TonAddress(0, bytes(32))
QUICK_SECONDS = 0.5
LONG_SECONDS = 20  # a hang would take for ever; a busy machine takes a while


def gateway(*urls: str, seconds: float = 5) -> CheckedTonGateway:
    return CheckedTonGateway(Toncenter(urls, seconds, pause=lambda _: None))


@pytest.mark.parametrize("breaks", ["endless", "silence"])
def test_no_answer_takes_longer_than_it_may(ton_chain: TonChain, breaks: str) -> None:
    ton_chain.faults(breaks=breaks)
    begun = time.monotonic()
    with pytest.raises(ChainUnavailable):
        gateway(ton_chain.api_url, seconds=QUICK_SECONDS).account(ACCOUNT)
    assert time.monotonic() - begun < LONG_SECONDS


def test_a_dripping_answer_takes_no_longer_either() -> None:
    body = json.dumps({"ok": True, "result": "x" * 10_000}).encode()
    with troubled(200, body, drips=True) as (url, _), pytest.raises(ChainUnavailable, match="more than 0.5 s"):
        gateway(url, seconds=QUICK_SECONDS).account(ACCOUNT)


GOOD = {
    "balance": "1", "code": "", "frozen_hash": "", "sync_utime": 1, "block_id": {"seqno": 1},
    "last_transaction_id": {"lt": "0", "hash": "A" * 43 + "="},
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"balance": "1e30"}, {"balance": -2}, {"balance": 1.5}, {"balance": True}, {"balance": "9" * 5000}, {"balance": None},
        {"code": "no cells"}, {"code": "AAAA"}, {"code": 7}, {"sync_utime": "now"}, {"sync_utime": 2**63}, {"block_id": None},
        {"last_transaction_id": {"lt": "-1", "hash": "A" * 43 + "="}}, {"last_transaction_id": {"lt": "0", "hash": "AAAA"}},
        {"last_transaction_id": {"lt": str(2**64), "hash": "A" * 43 + "="}}, {"last_transaction_id": []},
    ],
)  # fmt: skip
def test_an_account_beside_the_point_is_unreadable(change: dict) -> None:
    good = json.dumps({"ok": True, "result": GOOD}).encode()
    with troubled(200, good) as (url, _):
        assert gateway(url).account(ACCOUNT).balance_nano == 1
    with troubled(200, json.dumps({"ok": True, "result": GOOD | change}).encode()) as (url, _):
        with pytest.raises(ChainUnreadable):
            gateway(url).account(ACCOUNT)


@pytest.mark.parametrize("rows", [{}, "x", None, [None], [{}], [{"data": "AAAA"}], [{"data": 1}], [[]], 7])
def test_a_list_beside_the_point_is_unreadable(rows: object) -> None:
    with troubled(200, json.dumps({"ok": True, "result": rows}).encode()) as (url, _), pytest.raises(ChainUnreadable):
        gateway(url).transactions(ACCOUNT, 10)


@pytest.mark.parametrize(
    "found",
    [
        {"exit_code": 0, "stack": {}}, {"exit_code": 0, "stack": [["num", "zz"]]}, {"exit_code": None, "stack": []},
        {"exit_code": 0}, {"exit_code": 0, "stack": [["cell", {}]]}, {"exit_code": 0, "stack": [["num"]]}, [], None,
        {"exit_code": 0, "stack": [["num", "-0x1"]]}, {"exit_code": 0, "stack": [["num", hex(2**32)]]},
    ],
)  # fmt: skip
def test_a_stack_beside_the_point_is_unreadable(found: object) -> None:
    with troubled(200, json.dumps({"ok": True, "result": found}).encode()) as (url, _):
        with pytest.raises(ChainUnreadable):
            gateway(url).jetton_wallet(ACCOUNT, ACCOUNT)


def test_a_stack_of_every_kind_is_read() -> None:
    bag = "te6cckEBAQEAAgAAAEysuc0="
    cell = {"@type": "tvm.stackEntryCell", "cell": {"@type": "tvm.cell", "bytes": bag}}
    number = {"@type": "tvm.stackEntryNumber", "number": {"@type": "tvm.numberDecimal", "number": "-7"}}
    inner = {"@type": "tvm.stackEntryTuple", "tuple": {"@type": "tvm.tuple", "elements": [number]}}
    odd = {"@type": "tvm.stackEntryUnsupported"}
    stack = [
        ["num", "-0x7"],
        ["cell", {"bytes": bag}],
        ["tuple", {"elements": [number, cell, inner, odd]}],
        ["list", {"elements": []}],
        ["null", None],
    ]
    with troubled(200, json.dumps({"ok": True, "result": {"exit_code": 1, "stack": stack}}).encode()) as (url, _):
        found = gateway(url).run_get_method(ACCOUNT, "x")
    raw = base64.b64decode(bag)
    assert found == [-7, raw, [-7, raw, [-7], None], [], None]


@pytest.mark.parametrize(
    ("status", "body", "is_answer"),
    [
        (500, b'{"ok": false, "error": "LITE_SERVER_UNKNOWN: no", "code": 500}', True),
        (422, b'{"ok": false, "error": "validation", "code": 422}', True),
        (200, b'{"ok": false, "error": "no", "code": 1}', True),
        (429, b'{"ok": false, "error": "Ratelimit exceed", "code": 429}', False),
        (401, b'{"ok": false, "error": "key", "code": 401}', False),
        (503, b'{"ok": false, "error": "x", "code": 503}', False),
        (504, b"<html>", False),
        (500, b"<html>", False),
        (200, b"{}", False),
        (200, b"[]", False),
        (200, b"[" * 100_000, False),
        (200, b'{"ok": "yes", "result": {}}', False),
    ],
)
def test_a_no_is_told_from_silence(status: int, body: bytes, is_answer: bool) -> None:
    with troubled(status, body) as (url, _), pytest.raises(ChainUnavailable) as refusal:
        gateway(url).account(ACCOUNT)
    assert isinstance(refusal.value, ChainUnreadable) is is_answer


def test_who_asks_too_fast_asks_once_more_a_moment_later(ton_chain: TonChain) -> None:
    alice = read(ton_chain.wallet("alice", TON), TESTNET)
    pauses: list[float] = []
    ton = CheckedTonGateway(Toncenter((ton_chain.api_url,), 5, pause=pauses.append))
    ton_chain.faults(breaks="refuse", times=1)
    assert (ton.account(alice).balance_nano, pauses) == (TON, [PACE_SECONDS])
    ton_chain.faults(breaks="refuse", times=0)
    with pytest.raises(ChainUnavailable, match="429"):
        ton.account(alice)
    assert pauses == [PACE_SECONDS] * 2


def test_another_server_is_asked_when_one_is_down_and_none_is_when_there_is_none(ton_chain: TonChain) -> None:
    alice = read(ton_chain.wallet("alice", TON), TESTNET)
    assert gateway("http://127.0.0.1:1/api/v2", f"{ton_chain.api_url}/").account(alice).balance_nano == TON
    assert gateway(f"{ton_chain.api_url}/jsonRPC").account(alice).balance_nano == TON
    nobody = gateway()
    assert not nobody.is_configured
    with pytest.raises(ChainUnavailable, match="TON_API_URL"):
        nobody.account(alice)


def test_nothing_is_asked_inside_a_transaction(ton_chain: TonChain, database: Database) -> None:
    with database.unit_of_work(), pytest.raises(Exception, match="transaction|unit of work"):
        gateway(ton_chain.api_url).account(ACCOUNT)
