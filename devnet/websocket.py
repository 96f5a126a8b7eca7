"""The websocket door on the RPC port + 1: subscriptions, as solana-py and web3.js expect them there."""

import asyncio
import json
import threading

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from devnet.chain import Chain
from devnet.rpc.dispatch import Dispatcher, methods_of
from devnet.subscriptions import SubscriptionMethods, Subscriptions

FRAME_BYTES_LIMIT = 65_536
OUTBOX_LIMIT = 4_096


class Client:
    """One connection: answers go out at once, news when there are any; who does not read is hung up on."""

    def __init__(self, chain: Chain, socket: ServerConnection, wake: asyncio.Event) -> None:
        self._socket = socket
        self.subscriptions = Subscriptions(wake.set)
        self._dispatcher = Dispatcher(methods_of(SubscriptionMethods(chain, self.subscriptions)))
        self._outbox: asyncio.Queue[str] = asyncio.Queue(OUTBOX_LIMIT)
        self._is_slow = asyncio.Event()

    async def serve(self) -> None:
        jobs = [asyncio.create_task(job) for job in (self._read(), self._write(), self._is_slow.wait())]
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        except ConnectionClosed:
            return  # gone, or sent what no websocket may (a frame too large, broken text)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            if self._is_slow.is_set():
                self._socket.transport.abort()  # a close frame would wait behind what is not read

    async def _read(self) -> None:
        async for message in self._socket:
            answer = self._dispatcher.answer(message)
            if answer is not None:
                self._put(answer)

    async def _write(self) -> None:
        while True:
            await self._socket.send(await self._outbox.get())

    def tell_news(self) -> None:
        for number, (name, result) in self.subscriptions.news():
            note = {"jsonrpc": "2.0", "method": name, "params": {"result": result, "subscription": number}}
            self._put(json.dumps(note))

    def _put(self, message: str) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self._is_slow.set()


class WebSocketServer:
    """Runs in a thread and an event loop of its own; wakes when something landed or a slot began, if anyone listens."""

    def __init__(self, chain: Chain, host: str, port: int) -> None:
        self._chain, self._host, self._port = chain, host, port
        self._loop = asyncio.new_event_loop()
        self._clients: set[Client] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="websocket", daemon=True)

    def start(self) -> None:
        """Raises OSError when the port is taken."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            self._halt()
            raise

    async def _open(self) -> None:
        self._wake = asyncio.Event()
        self._server: Server = await serve(
            self._handle, self._host, self._port, max_size=FRAME_BYTES_LIMIT, compression=None, max_queue=64, close_timeout=0.5
        )
        self._chain.listeners.append(self._on_landed)
        self._ticker = asyncio.create_task(self._tick())

    def _on_landed(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _handle(self, socket: ServerConnection) -> None:
        client = Client(self._chain, socket, self._wake)
        self._clients.add(client)
        try:
            await client.serve()
        finally:
            self._clients.discard(client)

    async def _tick(self) -> None:
        while True:
            is_watched = any(len(client.subscriptions) for client in self._clients)
            try:
                await asyncio.wait_for(self._wake.wait(), self._chain.slots.seconds_to_next() if is_watched else None)
            except TimeoutError:
                pass  # a slot began
            self._wake.clear()
            for client in list(self._clients):
                client.tell_news()

    def stop(self) -> None:
        """Say goodbye to the clients, and end the thread."""
        self._chain.listeners.remove(self._on_landed)
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._halt()

    async def _close(self) -> None:
        self._ticker.cancel()
        self._server.close()
        await self._server.wait_closed()

    def _halt(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
