"""The nouns of clients that wait: what a call alone cannot do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, overload

from robocompute import answers, files, log_following, streams
from robocompute.apis import tasks
from robocompute.apis.billing import BillingCalls, invoice_pdf
from robocompute.apis.provider_tasks import ProviderTaskCalls
from robocompute.apis.tasks import TaskCalls
from robocompute.documents import Document
from robocompute.files import Progress
from robocompute.log_following import LogCursor
from robocompute.subscriptions import Subscription
from robocompute.transports import Transport

FilePath = str | os.PathLike[str]


class Tasks(TaskCalls[Document]):
    def __init__(self, transport: Transport) -> None:
        super().__init__(transport.send)
        self._transport = transport

    def stream(self, task_id: str) -> Iterator[Document]:
        """Each update {status, progress, …} as it happens, once and in order, until the task is over. A connection that breaks is
        opened again, and nothing is missed."""
        return streams.updates(self._transport, Subscription(task_id))

    def wait(self, task_id: str, on_update: Callable[[Document], object] | None = None) -> Document:
        """The task, once it is over."""
        for update in self.stream(task_id):
            if on_update is not None:
                on_update(update)
        return self.get(task_id)

    @overload
    def get_logs(self, task_id: str, lines: int = 100, follow: Literal[False] = False, after: int | None = None) -> Document: ...

    @overload
    def get_logs(
        self, task_id: str, lines: int = 100, *, follow: Literal[True], after: int | None = None
    ) -> Iterator[Document]: ...

    @overload
    def get_logs(
        self, task_id: str, lines: int = 100, follow: bool = False, after: int | None = None
    ) -> Document | Iterator[Document]: ...

    def get_logs(
        self, task_id: str, lines: int = 100, follow: bool = False, after: int | None = None
    ) -> Document | Iterator[Document]:
        """{logs: [{timestamp, level, message, …}]}: the last `lines`, or those that follow line number `after`. With `follow`,
        each of these lines and then each as it is written, until the task is over."""
        if follow:
            return log_following.follow(self._transport, LogCursor(task_id, lines, after))
        return self._send(tasks.logs(task_id, lines, after))

    def download_results(self, task_id: str, path: FilePath, progress: Progress | None = None) -> Document:
        """The results' archive into a file, checked against its hash; what `get_results` said of it."""
        found = self.get_results(task_id)
        files.download(found["result_url"], Path(path), found.get("result_hash"), progress)
        return found


class Billing(BillingCalls[Document]):
    def __init__(self, transport: Transport) -> None:
        super().__init__(transport.send)
        self._transport = transport

    def get_invoice_pdf(self, invoice_id: str) -> bytes:
        response = self._transport.fetch(invoice_pdf(invoice_id))
        if response.is_success:
            return response.content
        raise answers.error_of(response.status_code, response.headers, response.content)


class ProviderTasks(ProviderTaskCalls[Document]):
    def upload_results(self, upload_url: str, path: FilePath, progress: Progress | None = None) -> str:
        """Put the results' archive where `accept` said; the hash to `complete` with."""
        return files.upload(upload_url, Path(path), progress)
