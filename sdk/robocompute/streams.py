"""A task's updates over a websocket that is opened again, from where it stood, whenever it breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from robocompute.documents import Document
from robocompute.subscriptions import OPEN_SECONDS, PING_SECONDS, Gap, Subscription
from robocompute.transports import AsyncTransport, Transport

BROKEN = (ConnectionClosed, InvalidHandshake, Gap, OSError, EOFError)  # TimeoutError is an OSError


def updates(transport: Transport, subscription: Subscription) -> Iterator[Document]:
    """Each update once and in order, until the task is over."""
    while not subscription.is_over:
        error: BaseException | None = None
        try:
            yield from _read(transport, subscription)
        except BROKEN as broken:
            error = broken
        if not subscription.is_over:
            transport.sleep(subscription.pause_seconds(error, transport.caller.signer))


def _read(transport: Transport, subscription: Subscription) -> Iterator[Document]:
    address, headers = subscription.address(transport.caller), subscription.headers(transport.caller)
    with connect(
        address, additional_headers=headers, open_timeout=OPEN_SECONDS, ping_interval=PING_SECONDS, close_timeout=1
    ) as socket:
        try:
            socket.send(subscription.request())
            while not subscription.is_over:
                update = subscription.hear(socket.recv())
                if update is not None:
                    yield update
        finally:  # whoever leaves the loop early says goodbye, too
            socket.close()


async def async_updates(transport: AsyncTransport, subscription: Subscription) -> AsyncIterator[Document]:
    """Each update once and in order, until the task is over."""
    while not subscription.is_over:
        error: BaseException | None = None
        try:
            async for update in _read_async(transport, subscription):
                yield update
        except BROKEN as broken:
            error = broken
        if not subscription.is_over:
            await transport.sleep(subscription.pause_seconds(error, transport.caller.signer))


async def _read_async(transport: AsyncTransport, subscription: Subscription) -> AsyncIterator[Document]:
    address, headers = subscription.address(transport.caller), subscription.headers(transport.caller)
    async with connect_async(
        address, additional_headers=headers, open_timeout=OPEN_SECONDS, ping_interval=PING_SECONDS, close_timeout=1
    ) as socket:
        try:
            await socket.send(subscription.request())
            while not subscription.is_over:
                update = subscription.hear(await socket.recv())
                if update is not None:
                    yield update
        finally:  # whoever leaves the loop early says goodbye, too
            await socket.close()
