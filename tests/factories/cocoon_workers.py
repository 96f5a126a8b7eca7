"""Cocoon workers as they answer: many on real ports in one process, in the shape that a real one was recorded in.

No GPU and no TON chain is behind them: this stands in for the worker's own program, which needs both. Its switches make it slow,
endless, huge, wrong or empty. `python -m tests.factories.cocoon_workers COUNT` runs them apart, for measurements.
"""

import asyncio
import contextlib
import json
import resource
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

HUGE = 2**30
DISCONNECT, SLOW, ENDLESS, HTML, HUGE_BODY, TRICKLE = "disconnect", "slow", "endless", "html", "huge", "trickle"
REDIRECT, ERROR, GARBAGE, ENDLESS_HEAD, NO_LENGTH = "redirect", "error", "garbage", "endless_head", "no_length"
CRUMBS = "crumbs"


def slots(total: float, rate: float = 0.0) -> list[float]:
    """[total, 1 s, 10 s, 1 min, 10 min, 1 h, 1 d]: the total, and decayed rates per second."""
    return [total, *[rate] * 6]


@dataclass
class FakeWorker:
    """One worker. `mode` is a way to misbehave at /jsonstats; `missing` are blocks that it leaves out."""

    requests: int = 1200
    failed: int = 12
    time_seconds: float = 2400.0
    success_rate: float = 0.5
    failed_rate: float = 0.001
    fee_per_token: int = 25
    tokens: dict[str, int] = field(default_factory=lambda: {"EQproxyA": 4_000_000, "EQproxyB": 1_000_000})
    coefficient: int | None = 1000
    is_enabled: bool = True
    synced_seconds_ago: float = 5.0
    is_image_actual: bool = True
    is_model_actual: bool = True
    missing: tuple[str, ...] = ()
    mode: str = ""
    control_mode: str = ""
    has_page: bool = True
    asked: list[str] = field(default_factory=list)

    def stats(self) -> str:
        """The answer of /jsonstats, with the key that the real one writes twice."""
        success = self.requests - self.failed
        body: dict[str, Any] = {
            "status": {
                "wallet_balance": 3_141_592_653, "actual_image_hash": self.is_image_actual, "actual_model": self.is_model_actual,
                "ton_last_synced_at": int(time.time() - self.synced_seconds_ago), "enabled": True, "git_commit": "c0c0",
                "git_commit_data": "x",
            },
            "stats": {
                "queries": slots(self.requests, 0.5), "success": slots(success, self.success_rate),
                "failed": slots(self.failed, self.failed_rate), "bytes_received": slots(10_000), "bytes_sent": slots(900_000),
                "time": slots(self.time_seconds, 1.0), "total_adjusted_tokens_used": slots(sum(self.tokens.values())),
                "prompt_adjusted_tokens_used": slots(1), "cached_adjusted_tokens_used": slots(1),
                "completion_adjusted_tokens_used": slots(1), "reasoning_adjusted_tokens_used": slots(1),
            },
            "wallet": {
                "address": "EQwallet", "balance": 3_141_592_653, "seqno": 7, "pending_transactions_cnt": 0,
                "active_transactions_cnt": 0,
            },
            "localconfig": {
                "root_address": "EQroot", "owner_address": "EQowner", "model": "Qwen/Qwen3-32B", "coefficient": self.coefficient,
                "check_proxy_hash": True,
            },
            "root_contract_config": {
                "owner_address": "EQrootowner", "proxy_hashes": ["ab" * 32], "registered_proxies": [
                    {"seqno": 1, "address_for_clients": "proxy.example:8888", "address_for_workers": "proxy.example:8889"}],
                "last_proxy_seqno": 1, "worker_hashes": ["cd" * 32], "model_hashes": ["ef" * 32], "version": 1,
                "struct_version": 4, "params_version": 12, "unique_id": 0, "is_test": 0, "price_per_token": 20,
                "worker_fee_per_token": self.fee_per_token, "prompt_tokens_price_multiplier": 10_000,
                "cached_tokens_price_multiplier": 1000, "completion_tokens_price_multiplier": 80_000,
                "proxy_min_stake": 1_000_000_000, "client_min_stake": 1_000_000_000, "proxy_sc_code_hash": "01" * 32,
            },
            "proxies": [self._proxy(address, tokens) for address, tokens in self.tokens.items()],
        }
        text = json.dumps({name: block for name, block in body.items() if name not in self.missing})
        doubled = '"cached_tokens_price_multiplier": 1000'
        return text.replace(doubled, f"{doubled}, {doubled}")

    def _proxy(self, address: str, tokens: int) -> dict[str, Any]:
        return {
            "sc_inited": True, "proxy_sc_address": f"{address}-proxy", "proxy_public_key": "11" * 32, "sc_address": address,
            "earned_tokens_committed_to_blockchain": tokens, "earned_tokens_committed_to_proxy_db": tokens + 1000,
            "earned_tokens_max_known": tokens + 2000, "cached_out_tokens": 0, "expected_cached_out_tokens": 0,
            "running_request": False, "params_version": 12,
        }

    def page(self) -> str:
        """The page for people, of which only the switch matters here."""
        link = "disable" if self.is_enabled else "enable"
        return f'<html><body><table><tr><td>enabled</td><td><a href="/request/{link}">{link}</a></td></tr></table></body></html>'

    def restart(self) -> None:
        """Its counters begin again, and it forgets what it was told; what it earned lies on the chain."""
        self.requests, self.failed, self.time_seconds, self.is_enabled = 0, 0, 0.0, True

    async def answer(self, target: str, writer: asyncio.StreamWriter) -> None:
        self.asked.append(target)
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if path == "/jsonstats":
            await self._misbehave(writer) if self.mode else _send(writer, self.stats(), "application/json")
        elif path == "/stats" and self.has_page:
            _send(writer, self.page())
        elif path.startswith("/request/") and self.control_mode:
            _send(writer, "busy", status="503 Busy")
        elif path in ("/request/enable", "/request/disable"):
            self.is_enabled = path.endswith("enable")
            _send(writer, "<html><body>state updated<br/></body></html>")
        elif path == "/request/change_coefficient" and "coefficient" in query:
            self.coefficient = int(float(query["coefficient"][0]) * 1000)  # as the worker does: cut off, not rounded
            _send(writer, f"<html><body>coefficient set to {self.coefficient * 0.001}<br/></body></html>")
        else:
            _send(writer, "not found", status="400 Bad Request")

    async def _misbehave(self, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        if self.mode == SLOW:
            await asyncio.sleep(3600)
        elif self.mode == TRICKLE:
            writer.write(head + b"Content-Length: 100000\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)
        elif self.mode in (ENDLESS, ENDLESS_HEAD, HUGE_BODY):
            writer.write(head if self.mode == ENDLESS_HEAD else head + b"Connection: close\r\n\r\n" if self.mode == ENDLESS
                         else head + f"Content-Length: {HUGE}\r\n\r\n".encode())
            for _ in range(HUGE // 65_536):
                writer.write(b"x: " + b"y" * 61 + b"\r\n" if self.mode == ENDLESS_HEAD else b" " * 65_536)
                await writer.drain()
        elif self.mode == REDIRECT:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        elif self.mode == CRUMBS:
            writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 10_000 + b"0\r\n\r\n")
        elif self.mode == NO_LENGTH:
            writer.write(head + b"Connection: close\r\n\r\n" + self.stats().encode())
        elif self.mode != DISCONNECT:
            texts = {HTML: "<!DOCTYPE html><html></html>", ERROR: "gone", GARBAGE: "[" * 100_000}
            _send(writer, texts[self.mode], status="500 Error" if self.mode == ERROR else "200 OK")


def _send(writer: asyncio.StreamWriter, text: str, kind: str = "text/html", status: str = "200 OK") -> None:
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)


async def serve(worker: FakeWorker) -> tuple[asyncio.Server, int]:
    """A worker on a port of its own."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            await worker.answer(head.split()[1].decode(), writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=256)
    return server, server.sockets[0].getsockname()[1]


class Farm:
    """Workers in a thread with an event loop of its own; `add` starts one and returns its port."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def add(self, worker: FakeWorker) -> int:
        server, port = asyncio.run_coroutine_threadsafe(serve(worker), self._loop).result(30)
        self._servers.append(server)
        return port

    def stop(self) -> None:
        async def end() -> None:
            for server in self._servers:
                server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@contextlib.contextmanager
def farm() -> Iterator[Farm]:
    made = Farm()
    try:
        yield made
    finally:
        made.stop()


async def _run(count: int) -> None:
    ports = [(await serve(FakeWorker(requests=1000 + number)))[1] for number in range(count)]
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # each worker listens on a port of its own
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(int(sys.argv[1])))
