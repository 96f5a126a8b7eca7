"""Following what a task's container writes: page after page, each from where the last one ended, until the task is over. Where
there is nothing yet, the API waits with its answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from robocompute.apis import tasks
from robocompute.calls import Call
from robocompute.documents import Document
from robocompute.transports import AsyncTransport, Transport

log = logging.getLogger("robocompute")
PAGE_LINES = 1000
PAUSE_SECONDS = 1.0  # after lines that came: a task that writes all the time takes no more than its share of calls a minute


@dataclass(slots=True)
class LogCursor:
    """`after` is the sequence of the last line that was passed on; the first page holds the last `lines` lines."""

    task_id: str
    lines: int
    after: int | None = None
    is_over: bool = False
    pause_seconds: float = 0.0

    def call(self) -> Call:
        return tasks.logs(self.task_id, self.lines if self.after is None else PAGE_LINES, self.after, follow=True)

    def take(self, page: Document) -> list[Document]:
        """The page's lines, and what it says of the time after it."""
        lines: list[Document] = page.logs
        gone = page.get("skipped", 0) if self.after is not None else 0
        if gone:
            log.warning("%d lines of task %s were deleted before they were read", gone, self.task_id)
        is_full = self.after is not None and len(lines) == PAGE_LINES
        self.after = page.next
        self.is_over = page.is_over and not lines
        self.pause_seconds = PAUSE_SECONDS if lines and not is_full and not page.is_over else 0.0
        return lines


def follow(transport: Transport, cursor: LogCursor) -> Iterator[Document]:
    """Each line once and in order."""
    while not cursor.is_over:
        yield from cursor.take(transport.send(cursor.call()))
        if cursor.pause_seconds:
            transport.sleep(cursor.pause_seconds)


async def follow_async(transport: AsyncTransport, cursor: LogCursor) -> AsyncIterator[Document]:
    """Each line once and in order."""
    while not cursor.is_over:
        for line in cursor.take(await transport.send(cursor.call())):
            yield line
        if cursor.pause_seconds:
            await transport.sleep(cursor.pause_seconds)
