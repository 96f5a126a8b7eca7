"""The websocket door: every commitment, landed or not, and clients that send nonsense or do not read."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from devnet.payer import Payer
from tests.devnet.conftest import Start
from tests.factories.chain_nodes import Node

SOL = 10**9
SECONDS = 20


class Line:
    """One websocket to a node: `call` returns the answer, `hear` the next notification."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self._heard = socket, list[dict[str, Any]]()

    def call(self, method: str, *params: Any) -> Any:
        self.socket.send(json.dumps({"jsonrpc": "2.0", "id": 9, "method": method, "params": list(params)}))
        while "id" not in (message := json.loads(self.socket.recv(SECONDS))):
            self._heard.append(message)
        return message["error"]["code"] if "error" in message else message["result"]

    def hear(self) -> tuple[int, Any]:
        """(subscription, result)"""
        message = self._heard.pop(0) if self._heard else json.loads(self.socket.recv(SECONDS))
        return message["params"]["subscription"], message["params"]["result"]

    def is_silent(self) -> bool:
        """Nothing came before the answer to a question that was asked later."""
        assert self.call("slotUnsubscribe", 10**9) == -32602
        return not self._heard


@pytest.fixture
def line(node: Node) -> Iterator[Line]:
    with connect(node.socket_url) as socket:
        yield Line(socket)


@pytest.fixture
def payer(node: Node) -> Payer:
    wallet = Payer(node.url)
    wallet.airdrop(10 * SOL)
    return wallet


@pytest.mark.parametrize(("word", "slots"), [("processed", 0), ("confirmed", 1), ("finalized", 32)])
def test_a_signature_fires_once_at_its_commitment(node: Node, line: Line, payer: Payer, word: str, slots: int) -> None:
    signed = payer.sign_payment(payer.address, 1, word)
    number = line.call("signatureSubscribe", signature_of(signed), {"commitment": word})
    assert line.is_silent()
    payer.send_signed(signed)
    for _ in range(slots):
        assert line.is_silent()
        node.pass_slots(1)
    assert line.hear()[1]["value"] == {"err": None}
    node.pass_slots(3)
    assert line.is_silent()
    assert line.call("signatureUnsubscribe", number) == -32602  # it ended itself


def signature_of(signed: str) -> str:
    return str(VersionedTransaction.from_bytes(base64.b64decode(signed)).signatures[0])


def test_a_signature_that_landed_before_fires_at_once(node: Node, line: Line, payer: Payer) -> None:
    signature = payer.pay(payer.address, 1, "early")
    node.pass_slots(40)
    number = line.call("signatureSubscribe", signature, {"commitment": "finalized"})
    heard, result = line.hear()
    assert heard == number and result["value"] == {"err": None}
    assert result["context"]["slot"] == node.rpc("getSlot")


def test_a_failed_transaction_is_told_with_its_error(node: Node, line: Line, payer: Payer) -> None:
    signature = payer.send([payer.transfer(payer.address, 1000 * SOL)], skip_preflight=True)
    line.call("signatureSubscribe", signature, {"commitment": "processed", "enableReceivedNotification": True})
    assert line.hear()[1]["value"] == "receivedSignature"
    assert line.hear()[1]["value"] == {"err": {"InstructionError": [0, {"Custom": 1}]}}


def test_slots_and_roots(node: Node, line: Line) -> None:
    slot = node.rpc("getSlot", {"commitment": "processed"})
    slots, roots = line.call("slotSubscribe"), line.call("rootSubscribe")
    node.pass_slots(2)
    heard = sorted((line.hear() for _ in range(4)), key=lambda item: (item[0], str(item[1])))
    assert heard == [
        (slots, {"parent": slot, "root": slot - 31, "slot": slot + 1}),
        (slots, {"parent": slot + 1, "root": slot - 30, "slot": slot + 2}),
        (roots, slot - 31),
        (roots, slot - 30),
    ]
    assert line.call("slotUnsubscribe", slots) is True and line.call("rootUnsubscribe", roots) is True
    node.pass_slots(2)
    assert line.is_silent()


def test_accounts_and_logs(node: Node, line: Line, payer: Payer) -> None:
    to = str(Keypair().pubkey())
    account = line.call("accountSubscribe", to, {"commitment": "confirmed", "encoding": "base64"})
    logs = line.call("logsSubscribe", {"mentions": [to]}, {"commitment": "confirmed"})
    signature = payer.pay(to, SOL, "look here")
    payer.pay(payer.address, 1, "not here")
    assert line.is_silent()
    node.pass_slots(1)
    heard = dict(line.hear() for _ in range(2))
    assert heard[account]["value"]["lamports"] == SOL
    assert heard[logs]["value"]["signature"] == signature and "look here" in str(heard[logs]["value"]["logs"])
    node.pass_slots(5)
    assert line.is_silent()
    assert line.call("accountUnsubscribe", account) is True and line.call("logsUnsubscribe", logs) is True
    everything = line.call("logsSubscribe", "all", {"commitment": "processed"})
    payer.pay(payer.address, 1, "all")
    assert line.hear()[0] == everything


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("signatureSubscribe", [], -32602),
        ("signatureSubscribe", ["short"], -32602),
        ("signatureSubscribe", ["1" * 64, {"commitment": "soon"}], -32602),
        ("accountSubscribe", ["?"], -32602),
        ("logsSubscribe", [{"mentions": []}], -32602),
        ("logsSubscribe", [5], -32602),
        ("signatureUnsubscribe", ["x"], -32602),
        ("programSubscribe", ["1" * 32], -32601),
        ("getHealth", [], -32601),
        ("_held", [], -32601),
    ],
)
def test_wrong_subscriptions_are_refused(line: Line, method: str, params: list[Any], code: int) -> None:
    assert line.call(method, *params) == code
    assert line.is_silent()


def test_nonsense_is_answered_and_pings_are_not(node: Node, line: Line) -> None:
    for text, code in (("{", -32700), ("[]", -32600), ("5", -32600), (b"\x00\xff", -32700)):
        line.socket.send(text)
        assert json.loads(line.socket.recv(SECONDS))["error"]["code"] == code
    line.socket.send('{"jsonrpc":"2.0","method":"ping"}')
    assert line.is_silent()
    both = [{"jsonrpc": "2.0", "id": number, "method": "slotSubscribe"} for number in range(2)]
    line.socket.send(json.dumps(both))
    assert [answer["id"] for answer in json.loads(line.socket.recv(SECONDS))] == [0, 1]


def test_an_oversized_frame_and_a_broken_handshake_end_their_own_line_only(node: Node, line: Line) -> None:
    with connect(node.socket_url) as other:
        with pytest.raises(ConnectionClosed):
            other.send("x" * 1_000_000)
            while True:
                other.recv(SECONDS)
        assert other.close_code == 1009
    host, port = "127.0.0.1", node.port + 1
    with socket.create_connection((host, port), timeout=SECONDS) as raw:
        raw.sendall(b"\x00\x01 no handshake\r\n\r\n")
        while raw.recv(1000):
            pass
    assert line.call("slotSubscribe") > 0


def test_a_connection_holds_a_thousand_subscriptions_at_most(line: Line) -> None:
    for _ in range(1000):
        line.call("rootSubscribe")
    assert line.call("rootSubscribe") == -32005


def test_who_does_not_read_is_hung_up_on_and_holds_nobody_back(start: Start) -> None:
    node = start("--slot-ms", "0")
    with connect(node.socket_url, max_queue=1) as deaf, connect(node.socket_url) as other:
        ask = json.dumps([{"jsonrpc": "2.0", "id": number, "method": "slotSubscribe"} for number in range(900)])
        deaf.send(ask)
        line = Line(other)
        number = line.call("slotSubscribe")
        gone = threading.Event()
        for step in range(200):  # 900 notifications a slot: more than sockets' buffers and the outbox hold
            node.pass_slots(1)
            assert line.hear()[0] == number
            if step > 30 and deaf.state.name != "OPEN":
                gone.set()
                break
        if not gone.is_set():
            with pytest.raises(ConnectionClosed):
                while True:
                    deaf.recv(SECONDS)
        assert line.call("slotUnsubscribe", number) is True
    assert node.end() == (0, "")
