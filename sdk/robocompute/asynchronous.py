"""The nouns of asynchronous clients: what a call alone cannot do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from robocompute import answers, files, log_following, streams
from robocompute.apis import tasks
from robocompute.apis.billing import BillingCalls, invoice_pdf
from robocompute.apis.provider_tasks import ProviderTaskCalls
from robocompute.apis.tasks import TaskCalls
from robocompute.documents import Document
from robocompute.files import Progress
from robocompute.log_following import LogCursor
from robocompute.subscriptions import Subscription
from robocompute.transports import AsyncTransport

FilePath = str | os.PathLike[str]


class AsyncTasks(TaskCalls[Awaitable[Document]]):
    def __init__(self, transport: AsyncTransport) -> None:
        super().__init__(transport.send)
        self._transport = transport

    def stream(self, task_id: str) -> AsyncIterator[Document]:
        """Each update {status, progress, …} as it happens, once and in order, until the task is over. A connection that breaks is
        opened again, and nothing is missed."""
        return streams.async_updates(self._transport, Subscription(task_id))

    async def wait(self, task_id: str, on_update: Callable[[Document], object] | None = None) -> Document:
        """The task, once it is over."""
        async for update in self.stream(task_id):
            if on_update is not None:
                on_update(update)
        return await self.get(task_id)

    async def get_logs(self, task_id: str, lines: int = 100, after: int | None = None) -> Document:
        """{logs: [{timestamp, level, message, …}]}: the last `lines`, or those that follow line number `after`."""
        return await self._send(tasks.logs(task_id, lines, after))

    def follow_logs(self, task_id: str, lines: int = 100, after: int | None = None) -> AsyncIterator[Document]:
        """Each line that is there, and then each as it is written, until the task is over."""
        return log_following.follow_async(self._transport, LogCursor(task_id, lines, after))

    async def download_results(self, task_id: str, path: FilePath, progress: Progress | None = None) -> Document:
        """The results' archive into a file, checked against its hash; what `get_results` said of it."""
        found = await self.get_results(task_id)
        await files.download_async(found["result_url"], Path(path), found.get("result_hash"), progress)
        return found


class AsyncBilling(BillingCalls[Awaitable[Document]]):
    def __init__(self, transport: AsyncTransport) -> None:
        super().__init__(transport.send)
        self._transport = transport

    async def get_invoice_pdf(self, invoice_id: str) -> bytes:
        response = await self._transport.fetch(invoice_pdf(invoice_id))
        if response.is_success:
            return response.content
        raise answers.error_of(response.status_code, response.headers, response.content)


class AsyncProviderTasks(ProviderTaskCalls[Awaitable[Document]]):
    async def upload_results(self, upload_url: str, path: FilePath, progress: Progress | None = None) -> str:
        """Put the results' archive where `accept` said; the hash to `complete` with."""
        return await files.upload_async(upload_url, Path(path), progress)
