"""Who sends: one that waits, and an asynchronous one. Both keep connections open, and are closed by their client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx

from robocompute import answers
from robocompute.calls import Call
from robocompute.documents import Document
from robocompute.exchanges import Caller, Pause, exchange

TIMEOUT_SECONDS = 30.0


class Transport:
    """Sends calls over httpx, and sleeps between tries."""

    def __init__(self, caller: Caller, http: httpx.Client, sleep: Callable[[float], None] = time.sleep) -> None:
        self.caller, self.http, self.sleep = caller, http, sleep

    def send(self, call: Call) -> Document:
        """The call's answer. Raises what `exceptions` has."""
        response = self.fetch(call)
        return answers.read(response.status_code, response.headers, response.content)

    def fetch(self, call: Call) -> httpx.Response:
        """The call's answer as it came, whatever its status."""
        going = exchange(self.caller, call, self.http.build_request)
        step = next(going)
        while True:
            outcome: httpx.Response | httpx.RequestError | None = None
            try:
                if isinstance(step, Pause):
                    self.sleep(step.seconds)
                else:
                    outcome = self.http.send(step)
            except httpx.RequestError as error:
                outcome = error
            try:
                step = going.send(outcome)
            except StopIteration as end:
                return end.value


class AsyncTransport:
    """The same for asyncio."""

    def __init__(
        self, caller: Caller, http: httpx.AsyncClient, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.caller, self.http, self.sleep = caller, http, sleep

    async def send(self, call: Call) -> Document:
        """The call's answer. Raises what `exceptions` has."""
        response = await self.fetch(call)
        return answers.read(response.status_code, response.headers, response.content)

    async def fetch(self, call: Call) -> httpx.Response:
        """The call's answer as it came, whatever its status."""
        going = exchange(self.caller, call, self.http.build_request)
        step = next(going)
        while True:
            outcome: httpx.Response | httpx.RequestError | None = None
            try:
                if isinstance(step, Pause):
                    await self.sleep(step.seconds)
                else:
                    outcome = await self.http.send(step)
            except httpx.RequestError as error:
                outcome = error
            try:
                step = going.send(outcome)
            except StopIteration as end:
                return end.value
