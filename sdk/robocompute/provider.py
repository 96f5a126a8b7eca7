"""Who lends compute."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import cached_property
from typing import TypeVar

import httpx

from robocompute.apis.disputes import Disputes
from robocompute.apis.earnings import Earnings, Payouts
from robocompute.apis.monitoring import Monitoring
from robocompute.apis.resources import Resources
from robocompute.apis.staking import Staking
from robocompute.assignments import HEARTBEAT_SECONDS, POLL_SECONDS, AsyncHandler, AsyncListener, Handler, Listener
from robocompute.asynchronous import AsyncProviderTasks
from robocompute.blocking import ProviderTasks
from robocompute.calls import segment
from robocompute.connections import AsyncConnection, Connection
from robocompute.documents import Document
from robocompute.keypairs import Source
from robocompute.retries import RetryPolicy
from robocompute.transports import TIMEOUT_SECONDS

AnyHandler = TypeVar("AnyHandler", bound=Handler)
AnyAsyncHandler = TypeVar("AnyAsyncHandler", bound=AsyncHandler)


class RoboComputeProvider(Connection):
    """Offers resources, does tasks, is paid. Made as `Connection` says; several threads may share one."""

    def __init__(
        self,
        api_key: str,
        provider_id: str,
        wallet_address: str | None = None,
        *,
        keypair: Source | None = None,
        base_url: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: RetryPolicy | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        super().__init__(
            api_key,
            wallet_address,
            keypair=keypair,
            base_url=base_url,
            timeout_seconds=timeout_seconds,
            retries=retries,
            http=http,
        )
        self.provider_id = provider_id
        self._prefix = f"/providers/{segment(provider_id, 'provider_id')}"
        self._handlers: list[Handler] = []
        self._listener: Listener | None = None

    @cached_property
    def resources(self) -> Resources[Document]:
        return Resources(self.transport.send, self._prefix)

    @cached_property
    def tasks(self) -> ProviderTasks:
        return ProviderTasks(self.transport.send, self._prefix)

    @cached_property
    def earnings(self) -> Earnings[Document]:
        return Earnings(self.transport.send, self._prefix)

    @cached_property
    def payouts(self) -> Payouts[Document]:
        return Payouts(self.transport.send, self._prefix)

    @cached_property
    def staking(self) -> Staking[Document]:
        return Staking(self.transport.send, self._prefix)

    @cached_property
    def disputes(self) -> Disputes[Document]:
        return Disputes(self.transport.send, self._prefix)

    @cached_property
    def monitoring(self) -> Monitoring[Document]:
        return Monitoring(self.transport.send, self._prefix)

    def on_task_assigned(self, handler: AnyHandler) -> AnyHandler:
        """Call this with each task that is offered once `start` was called; may be written as a decorator."""
        self._handlers.append(handler)
        return handler

    def start(
        self,
        concurrency: int = 1,
        poll_seconds: float = POLL_SECONDS,
        heartbeat_seconds: float | None = HEARTBEAT_SECONDS,
    ) -> None:
        """Look for tasks in the background, up to `concurrency` at a time, and say every `heartbeat_seconds` (None: never) that
        the provider is there."""
        if self._listener is not None:
            raise RuntimeError("this provider is started already")
        look, beat = self.tasks.list_available, self._beat
        self._listener = Listener(look, beat, self._handlers, concurrency, poll_seconds, heartbeat_seconds)
        self._listener.start()

    def stop(self, wait: bool = True) -> None:
        """Begin no task any more; return when those under way are finished (`wait`), or at once."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop(wait)

    def close(self) -> None:
        """Stop, and close the connections."""
        self.stop()
        super().close()

    def _beat(self, active_tasks: int) -> Document:
        return self.monitoring.send_heartbeat("online", active_tasks=active_tasks)


class AsyncRoboComputeProvider(AsyncConnection):
    """As `RoboComputeProvider`: each call is awaited, and handlers are coroutine functions."""

    def __init__(
        self,
        api_key: str,
        provider_id: str,
        wallet_address: str | None = None,
        *,
        keypair: Source | None = None,
        base_url: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: RetryPolicy | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(
            api_key,
            wallet_address,
            keypair=keypair,
            base_url=base_url,
            timeout_seconds=timeout_seconds,
            retries=retries,
            http=http,
        )
        self.provider_id = provider_id
        self._prefix = f"/providers/{segment(provider_id, 'provider_id')}"
        self._handlers: list[AsyncHandler] = []
        self._listener: AsyncListener | None = None

    @cached_property
    def resources(self) -> Resources[Awaitable[Document]]:
        return Resources(self.transport.send, self._prefix)

    @cached_property
    def tasks(self) -> AsyncProviderTasks:
        return AsyncProviderTasks(self.transport.send, self._prefix)

    @cached_property
    def earnings(self) -> Earnings[Awaitable[Document]]:
        return Earnings(self.transport.send, self._prefix)

    @cached_property
    def payouts(self) -> Payouts[Awaitable[Document]]:
        return Payouts(self.transport.send, self._prefix)

    @cached_property
    def staking(self) -> Staking[Awaitable[Document]]:
        return Staking(self.transport.send, self._prefix)

    @cached_property
    def disputes(self) -> Disputes[Awaitable[Document]]:
        return Disputes(self.transport.send, self._prefix)

    @cached_property
    def monitoring(self) -> Monitoring[Awaitable[Document]]:
        return Monitoring(self.transport.send, self._prefix)

    def on_task_assigned(self, handler: AnyAsyncHandler) -> AnyAsyncHandler:
        """Call this coroutine function with each task that is offered once `start` was called."""
        self._handlers.append(handler)
        return handler

    def start(
        self,
        concurrency: int = 1,
        poll_seconds: float = POLL_SECONDS,
        heartbeat_seconds: float | None = HEARTBEAT_SECONDS,
    ) -> None:
        """As `RoboComputeProvider.start`, in the running event loop."""
        if self._listener is not None:
            raise RuntimeError("this provider is started already")
        look, beat = self.tasks.list_available, self._beat
        self._listener = AsyncListener(look, beat, self._handlers, concurrency, poll_seconds, heartbeat_seconds)
        self._listener.start()

    async def stop(self, wait: bool = True) -> None:
        """Begin no task any more; those under way are finished (`wait`), or cancelled."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.stop(wait)

    async def close(self) -> None:
        """Stop, and close the connections."""
        await self.stop()
        await super().close()

    async def _beat(self, active_tasks: int) -> Document:
        return await self.monitoring.send_heartbeat("online", active_tasks=active_tasks)
