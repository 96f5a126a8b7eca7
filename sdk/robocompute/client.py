"""Who rents compute."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import cached_property

from robocompute.apis.providers import Providers
from robocompute.apis.wallet import Wallet
from robocompute.asynchronous import AsyncBilling, AsyncTasks
from robocompute.blocking import Billing, Tasks
from robocompute.connections import AsyncConnection, Connection
from robocompute.documents import Document


class RoboComputeClient(Connection):
    """Orders tasks, follows them, pays for them. Made as `Connection` says; several threads may share one."""

    @cached_property
    def tasks(self) -> Tasks:
        return Tasks(self.transport)

    @cached_property
    def wallet(self) -> Wallet[Document]:
        return Wallet(self.transport.send)

    @cached_property
    def billing(self) -> Billing:
        return Billing(self.transport)

    @cached_property
    def providers(self) -> Providers[Document]:
        return Providers(self.transport.send)


class AsyncRoboComputeClient(AsyncConnection):
    """As `RoboComputeClient`: each call is awaited, streams are gone through by `async for`."""

    @cached_property
    def tasks(self) -> AsyncTasks:
        return AsyncTasks(self.transport)

    @cached_property
    def wallet(self) -> Wallet[Awaitable[Document]]:
        return Wallet(self.transport.send)

    @cached_property
    def billing(self) -> AsyncBilling:
        return AsyncBilling(self.transport)

    @cached_property
    def providers(self) -> Providers[Awaitable[Document]]:
        return Providers(self.transport.send)
