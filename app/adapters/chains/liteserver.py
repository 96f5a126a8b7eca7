"""TON straight from liteservers, by pytonlib: its library checks what they say against the chain's own proofs.

It has threads of its own inside, so it lives only in a process that neither forks nor is cooperative: the hub's worker, whose
pool is threads. What it does when liteservers do answer has never run in the suite, for there is no local one: only its load,
its silence without a network, and its JSON, which is toncenter v2's.
"""

import asyncio
import concurrent.futures
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog

from app.adapters.chains import json_rpc
from app.adapters.chains.json_rpc import MALFORMED
from app.db import assert_no_unit_of_work
from app.errors import ChainUnavailable, ChainUnreadable, ConfigError

log = structlog.get_logger()
MARGIN_SECONDS = 5  # the library looks for calls that are too old once a second
CLOSE_SECONDS = 10  # its threads look up that often
_NOBODY_ANSWERED = ("LITE_SERVER_NETWORK", "LITE_SERVER_NOTREADY", "timeout", "adnl")


class Liteservers:
    """One liteserver of the network's configuration at a time, as `app.adapters.chains.ton_gateway.TonTransport` asks it.

    One that does not answer is left for the next. `config` is the network's global configuration file, `folder` a place for
    what the library keeps. Nothing is loaded before the first call.
    """

    def __init__(self, config: Path, folder: Path, timeout_seconds: float) -> None:
        self._config, self._folder, self._timeout_seconds = config, folder, timeout_seconds
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None
        self._number = 0
        self._process_id = 0

    @property
    def is_configured(self) -> bool:
        return True

    def account_state(self, address: str) -> Any:
        return self._call("raw_get_account_state", lambda client: client.raw_get_account_state(address))

    def transactions(self, address: str, limit: int, lt: int | None, hash: str | None, to_lt: int) -> Any:
        return self._call(
            "get_transactions",
            lambda client: client.get_transactions(
                address,
                from_transaction_lt=lt,
                from_transaction_hash=hash,
                to_transaction_lt=to_lt,
                limit=limit,
                decode_messages=False,
            ),
        )

    def run_get_method(self, address: str, name: str, stack: list[list[str]]) -> Any:
        return self._call("raw_run_method", lambda client: client.raw_run_method(address, name, stack))

    def send(self, boc: bytes) -> None:
        self._call("raw_send_message", lambda client: client.raw_send_message(boc))

    def close(self) -> None:
        """End the library's threads; the next call starts it again."""
        with self._lock:
            left, loop, self._loop = self._leave(), self._loop, None
        if loop is not None:
            if left is not None:
                concurrent.futures.wait([left], timeout=CLOSE_SECONDS)
            loop.call_soon_threadsafe(loop.stop)

    def _call(self, method: str, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        assert_no_unit_of_work()
        with self._lock:
            self._assert_own_process()
            loop = self._loop = self._loop or _started_loop()
            with json_rpc.counted("ton", method) as problems:
                try:
                    return asyncio.run_coroutine_threadsafe(self._within_time(ask), loop).result()
                except ChainUnreadable:
                    problems.append("refused")
                    raise
                except ChainUnavailable:
                    self._leave()
                    raise

    def _assert_own_process(self) -> None:
        gevent = sys.modules.get("gevent.monkey")
        if gevent is not None and gevent.is_module_patched("threading"):
            raise ChainUnavailable("TON's liteservers are asked by the worker only; with TON_API_URL every process can ask")
        self._process_id = self._process_id or os.getpid()
        if self._process_id != os.getpid():
            raise ChainUnavailable("TON's library was loaded before this process was forked: it can't be used here")

    async def _within_time(self, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_seconds + MARGIN_SECONDS):
                return await ask(await self._ready())
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001  the library's errors have no common kind
            raise _told(error) from error

    async def _ready(self) -> Any:
        if self._client is None:
            from pytonlib import TonlibClient  # 21 MB of machine code, and threads

            config = read_config(self._config)
            self._folder.mkdir(parents=True, exist_ok=True)
            number = self._number % len(config["liteservers"])
            client = TonlibClient(number, config, str(self._folder), tonlib_timeout=self._timeout_seconds)
            await client.init()
            self._client = client
        return self._client

    def _leave(self) -> concurrent.futures.Future[None] | None:
        """Try another liteserver the next time; the one there is closes by itself."""
        client, self._client = self._client, None
        self._number += 1
        if client is None or self._loop is None:
            return None
        return asyncio.run_coroutine_threadsafe(_closed(client), self._loop)


def _started_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="tonlib", daemon=True).start()
    return loop


async def _closed(client: Any) -> None:
    try:
        await client.close()
    except Exception as error:  # noqa: BLE001  it is left anyway
        log.warning("ton.client_not_closed", error=str(error))


def read_config(path: Path) -> dict[str, Any]:
    """The network's global configuration; ConfigError for a file that is none."""
    try:
        found = json.loads(path.read_text())
        if not isinstance(found["liteservers"], list) or not found["liteservers"] or "validator" not in found:
            raise ValueError("it names no liteservers, or no validator section")
    except MALFORMED as error:
        raise ConfigError(f"TON_CONFIG must be a network's global configuration file: {error}") from None
    return dict(found)


def _told(error: Exception) -> ChainUnavailable:
    """An error as the hub knows it: a liteserver's own no is about one thing, everything else is silence."""
    message = f"{type(error).__name__}: {error}"[:200]
    is_answer = hasattr(error, "result") and not any(word in str(error) for word in _NOBODY_ANSWERED)
    return (ChainUnreadable if is_answer else ChainUnavailable)(f"TON did not answer: {message}")
