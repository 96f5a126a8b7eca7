"""A node that is down, slow, busy or confused: nothing is known then, and nothing has failed."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from solders.signature import Signature

from app.adapters.chains.solana import ANSWER_BYTES_LIMIT, SolanaGateway
from app.errors import ChainUnavailable, ChainUnreadable
from devnet.payer import Payer
from tests.factories.chain_nodes import Node

SIGNATURE = str(Signature.default())
ADDRESS = "1" * 32
QUICK_SECONDS = 0.5


class Scripted(BaseHTTPRequestHandler):
    """Answers everything with the server's `status` and `body`; drips it when told to."""

    server: "Troubled"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        if not self.server.drips:
            self.wfile.write(self.server.body)
            return
        for byte in self.server.body:
            try:
                self.wfile.write(bytes([byte]))
            except OSError:
                return
            if self.server.over.wait(0.05):
                return

    def log_message(self, *_: Any) -> None:
        pass


class Troubled(ThreadingHTTPServer):
    def __init__(self, status: int, body: bytes, drips: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Scripted)
        self.status, self.body, self.drips = status, body, drips
        self.asked, self.over = 0, threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The gateway hangs up on purpose."""


@contextmanager
def troubled(status: int, body: bytes, drips: bool = False) -> Iterator[tuple[str, Troubled]]:
    server = Troubled(status, body, drips)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def assert_unknown(gateway: SolanaGateway) -> None:
    """Every question ends in the one retryable error."""
    for ask in (
        lambda: gateway.sighting(SIGNATURE),
        lambda: gateway.balance(ADDRESS),
        lambda: gateway.signatures_for(ADDRESS),
    ):
        with pytest.raises(ChainUnavailable) as unknown:
            ask()
        assert unknown.value.retryable
    assert gateway.health() is False


def result(value: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b'{"jsonrpc":"2.0","id":1,"error":{"code":429,"message":"Too many requests"}}'),
        (500, b"oops"),
        (502, b"<html>Bad Gateway</html>"),
        (302, b""),
        (200, b""),
        (200, b"<html>a captive portal</html>"),
        (200, b"\xff\xfe\x00"),
        (200, b"[" * 100_000),
        (200, b"5"),
        (200, b"null"),
        (200, b"[]"),
        (200, b'"an error"'),
        (200, b"{}"),
        (200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"Node is behind by 42 slots"}}'),
        (200, result("garbage")),
        (200, result({})),
        (200, result(7)),
        (200, result([1, 2])),
        (200, b" " * (ANSWER_BYTES_LIMIT + 1)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_trusted_is_unknown(status: int, body: bytes) -> None:
    with troubled(status, body) as (url, server):
        assert_unknown(SolanaGateway((url,), 5))
        assert server.asked >= 4


FRACTION = {"accountIndex": 0, "owner": ADDRESS, "mint": ADDRESS, "uiTokenAmount": {"amount": "1.5"}}


def good_answer() -> dict[str, Any]:
    balances = {"preBalances": [5], "postBalances": [4], "preTokenBalances": [], "postTokenBalances": []}
    message = {"accountKeys": [{"pubkey": ADDRESS}], "instructions": []}
    return {
        "slot": 7,
        "blockTime": 1_700_000_000,
        "meta": {"err": None, "innerInstructions": [], **balances},
        "transaction": {"signatures": [SIGNATURE], "message": message},
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("meta",), None),
        (("meta", "err"), ...),
        (("meta", "preBalances"), [5, 6]),
        (("meta", "preBalances"), ["x"]),
        (("meta", "innerInstructions"), [5]),
        (("meta", "postTokenBalances"), [{"accountIndex": 9, "owner": ADDRESS, "mint": ADDRESS}]),
        (("meta", "postTokenBalances"), [FRACTION]),
        (("transaction", "message", "accountKeys"), []),
        (("transaction", "message", "instructions"), ["x"]),
        (("transaction", "message", "instructions"), [{"program": "system", "parsed": {"type": "transfer", "info": []}}]),
        (("transaction", "message", "instructions"), [{"program": "system", "parsed": {"type": "transfer", "info": {}}}]),
        (("transaction", "signatures"), [str(Signature(b"\x01" * 64))]),
        (("transaction", "signatures"), []),
        (("blockTime",), 10**30),
        (("slot",), None),
    ],
    ids=str,
)
def test_an_answer_that_is_wrong_somewhere_is_unknown(path: tuple[str, ...], value: Any) -> None:
    answer = good_answer()
    with troubled(200, result(answer)) as (url, _):
        seen = SolanaGateway((url,), 5).sighting(SIGNATURE)
        assert seen is not None and seen.is_final and seen.slot == 7
    place: Any = answer
    for name in path[:-1]:
        place = place[name]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with troubled(200, result(answer)) as (url, _), pytest.raises(ChainUnavailable):
        SolanaGateway((url,), 5).sighting(SIGNATURE)


def error(message: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32015, "message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "is_answer"),
    [
        (200, error("Transaction version (1) is not supported"), True),
        (200, result({"slot": 1, "meta": None, "transaction": {}}), True),
        (429, error("Too many requests"), False),
        (502, b"Bad Gateway", False),
        (200, b"<html>a captive portal</html>", False),
    ],
)
def test_an_answer_about_one_transaction_is_told_from_a_node_in_trouble(status: int, body: bytes, is_answer: bool) -> None:
    with troubled(status, body) as (url, _), pytest.raises(ChainUnavailable) as unknown:
        SolanaGateway((url,), 5).sighting(SIGNATURE)
    assert isinstance(unknown.value, ChainUnreadable) == is_answer


def test_nobody_listens_or_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert_unknown(SolanaGateway((f"http://127.0.0.1:{port}",), QUICK_SECONDS))
    assert_unknown(SolanaGateway((f"http://127.0.0.1:{port}",), QUICK_SECONDS))
    assert_unknown(SolanaGateway(("http://no-such-host.invalid",), QUICK_SECONDS))
    assert_unknown(SolanaGateway((), QUICK_SECONDS))


def test_a_node_that_drips_holds_nobody_longer_than_the_time_out() -> None:
    with troubled(200, result("ok") + b" " * 10_000, drips=True) as (url, _):
        with pytest.raises(ChainUnavailable, match="took more than"):
            SolanaGateway((url,), QUICK_SECONDS).balance(ADDRESS)


def test_the_next_node_is_asked_when_one_is_in_trouble(node: Node) -> None:
    payer = Payer(node.url)
    payer.airdrop(10**10)
    signature = payer.pay(payer.address, 1, "second node")
    node.pass_slots()
    with troubled(429, b"slow down") as (busy, server):
        gateway = SolanaGateway((busy, "http://127.0.0.1:1", node.url), 5)
        seen = gateway.sighting(signature)
        assert seen is not None and seen.memos == ("second node",) and server.asked == 1
        assert gateway.health() and gateway.balance(payer.address) > 0
