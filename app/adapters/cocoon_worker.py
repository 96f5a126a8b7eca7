"""A Cocoon worker's own HTTP port: its figures at /jsonstats, its switch and its price at /request/…

Its address is a user's: looked up once and pinned for a minute, public unless the operator allows private ones, no redirect,
bounded bytes and one deadline for everything. Asyncio, since one process asks a thousand of them.
"""

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import h11

from app.adapters.addresses import Resolver, is_literal, resolve, system_resolver, validate_public_url
from app.db import assert_no_unit_of_work
from app.errors import InvalidInput, LightyardError, Unavailable

TIMEOUT, UNREACHABLE, REFUSED = "timeout", "unreachable", "refused"
TOO_LARGE, REDIRECTED, BAD_ANSWER = "too_large", "redirected", "bad_answer"
PINNED_SECONDS, PINNED_HOSTS, LOOKUPS_AT_ONCE = 60.0, 20_000, 32
SLOW_SECONDS = 960.0  # so seldom, at last, is a name looked up that nobody answers for: each time takes a thread for long
READ_BYTES, HEAD_BYTES = 65_536, 16_384
PIECE_BYTES = 256  # what a piece of a body costs beside its bytes: a megabyte in chunks of one byte is seconds of work
# The links by which the worker's page for people offers the state that it is not in.
DISABLE_LINK, ENABLE_LINK = b'href="/request/disable"', b'href="/request/enable"'
_HEADERS = (("Accept", "application/json, text/html"), ("Accept-Encoding", "identity"), ("User-Agent", "lightyard-hub"))
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


class WorkerTrouble(Unavailable):
    """A worker did not answer as one does; `kind` is one of few words, for counting."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, code="WORKER_TROUBLE")
        self.kind = kind


class _Pin(NamedTuple):
    """What a look-up came to, until when that holds, and how often in a row it was too slow."""

    until: float
    found: tuple[str, ...] | WorkerTrouble
    times_slow: int = 0


def check_address(host: str, port: int, allow_private: bool) -> None:
    """For registration: whether this may be a worker's address at all. InvalidInput URL_REFUSED says what is wrong."""
    if not _HOST.fullmatch(host):
        raise InvalidInput("host: a host name or an IP address, without anything beside it", code="URL_REFUSED")
    validate_public_url(f"{base_url(host, port)}/jsonstats", allow_private)


def base_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def coefficient_text(thousandths: int) -> str:
    """A price as the worker takes it: it multiplies by 1000 and cuts off, which would make 1.005 to 1004."""
    text = f"{thousandths / 1000:.3f}"
    return text if int(float(text) * 1000) == thousandths else f"{text}001"


class CocoonWorkerClient:
    """Asks workers, many at once in one event loop. Every call is one exchange of at most `timeout_seconds` and `limit_bytes`."""

    def __init__(
        self,
        allow_private: bool,
        timeout_seconds: float,
        limit_bytes: int,
        *,
        resolver: Resolver = system_resolver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allow_private, self._timeout_seconds, self._limit_bytes = allow_private, timeout_seconds, limit_bytes
        self._resolver, self._clock = resolver, clock
        self._pinned: dict[tuple[str, int], _Pin] = {}
        self._lookups = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="worker-lookup")

    def close(self) -> None:
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def stats(self, host: str, port: int) -> bytes:
        """What it says at /jsonstats; WorkerTrouble when it says nothing that can be read."""
        return await self._get(host, port, "/jsonstats")

    async def is_enabled(self, host: str, port: int) -> bool | None:
        """Whether it takes work, by its page for people: /jsonstats always says that it does. None where the page doesn't
        tell."""
        page = await self._get(host, port, "/stats")
        if (DISABLE_LINK in page) == (ENABLE_LINK in page):
            return None
        return DISABLE_LINK in page

    async def switch(self, host: str, port: int, is_on: bool) -> None:
        """Have it take work or not; harmless to repeat."""
        await self._get(host, port, "/request/enable" if is_on else "/request/disable")

    async def set_coefficient(self, host: str, port: int, thousandths: int) -> None:
        """Have it work for another price; harmless to repeat."""
        await self._get(host, port, f"/request/change_coefficient?coefficient={coefficient_text(thousandths)}")

    async def _get(self, host: str, port: int, target: str) -> bytes:
        assert_no_unit_of_work()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                addresses = await self._addresses(host, port)
                return await self._exchange(addresses, host, port, target)
        except TimeoutError:
            raise WorkerTrouble(TIMEOUT, f"no whole answer in {self._timeout_seconds:g} s") from None
        except h11.ProtocolError as error:
            raise WorkerTrouble(UNREACHABLE, "it closed the connection early, or what it says is no HTTP") from error
        except OSError as error:
            raise WorkerTrouble(UNREACHABLE, f"cannot be reached ({type(error).__name__})") from error

    async def _addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Looked up once a minute, for good or bad; a name that is too slow again and again, less and less often."""
        kept = self._pinned.get((host, port))
        if kept is None or kept.until < self._clock():
            if len(self._pinned) > PINNED_HOSTS:
                self._pinned.clear()
            times = kept.times_slow if kept is not None else 0
            # What a look-up that takes too long leaves behind: its thread goes on, and no other is given to that name meanwhile.
            until = self._clock() + min(PINNED_SECONDS * 2 ** min(times, 10), SLOW_SECONDS)
            self._pinned[host, port] = _Pin(until, WorkerTrouble(TIMEOUT, "its name is looked up too slowly"), times + 1)
            found = await self._look_up(host, port)
            kept = self._pinned[host, port] = _Pin(self._clock() + PINNED_SECONDS, found)
        if isinstance(kept.found, WorkerTrouble):
            raise WorkerTrouble(kept.found.kind, kept.found.message)
        return kept.found

    async def _look_up(self, host: str, port: int) -> tuple[str, ...] | WorkerTrouble:
        """An address needs no thread: it must not wait behind strangers' names that nobody answers for."""
        question = (base_url(host, port), self._allow_private, self._resolver)
        try:
            if is_literal(host):
                return resolve(*question).addresses
            found = await asyncio.get_running_loop().run_in_executor(self._lookups, resolve, *question)
        except InvalidInput as error:
            return WorkerTrouble(REFUSED, error.message)
        except LightyardError as error:
            return WorkerTrouble(UNREACHABLE, error.message)
        return found.addresses

    async def _exchange(self, addresses: tuple[str, ...], host: str, port: int, target: str) -> bytes:
        reader, writer = await self._connect(addresses, port)
        try:
            codec = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
            name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            headers = [("Host", name), *_HEADERS, ("Connection", "close")]
            writer.write(codec.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
            writer.write(codec.send(h11.EndOfMessage()) or b"")
            return await self._read(codec, reader)
        finally:
            writer.transport.abort()  # nothing more is wanted of it, and what it still sends is not read

    async def _connect(self, addresses: tuple[str, ...], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the checked addresses only, in turn."""
        failure: OSError = OSError("no address")
        for address in addresses:
            try:
                return await asyncio.open_connection(address, port, limit=READ_BYTES)
            except OSError as error:
                failure = error
        raise failure

    async def _read(self, codec: h11.Connection, reader: asyncio.StreamReader) -> bytes:
        """The body, once it is whole. Every byte that comes counts, and every piece, so that nothing is endless or dear."""
        body, received = bytearray(), 0
        while True:
            event = codec.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(READ_BYTES)
                received += len(data)
                if received > self._limit_bytes + HEAD_BYTES:
                    raise self._too_large()
                codec.receive_data(data)
            elif isinstance(event, h11.Response):
                self._judge(event)
            elif isinstance(event, h11.Data):
                body += event.data
                received += PIECE_BYTES
                if len(body) > self._limit_bytes or received > self._limit_bytes + HEAD_BYTES:
                    raise self._too_large()
            elif isinstance(event, h11.EndOfMessage):
                return bytes(body)
            elif isinstance(event, h11.ConnectionClosed):
                raise WorkerTrouble(UNREACHABLE, "it closed the connection without an answer")

    def _judge(self, answer: h11.Response) -> None:
        if 300 <= answer.status_code < 400:
            raise WorkerTrouble(REDIRECTED, "it answers with a redirect, which is not followed")
        if answer.status_code != 200:
            raise WorkerTrouble(BAD_ANSWER, f"it answered with status {answer.status_code}")
        for name, value in answer.headers:
            if name == b"content-length" and int(value) > self._limit_bytes:
                raise self._too_large()

    def _too_large(self) -> WorkerTrouble:
        return WorkerTrouble(TOO_LARGE, f"its answer is larger than {self._limit_bytes} bytes")
