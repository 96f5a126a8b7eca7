"""What the tasks of one worker process share."""

import uuid
from functools import cache

from app import outbox
from app.config import load
from app.wiring import Hub, build


@cache
def hub() -> Hub:
    """This process's parts, made on first use so that a forked child makes its own."""
    return build(load())


def forget(message_id: str | None) -> None:
    """The durable doorbell that ordered a task is done with."""
    if message_id is not None:
        with hub().database.unit_of_work() as session:
            outbox.forget(session, uuid.UUID(message_id))
