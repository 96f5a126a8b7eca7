"""How many messages wait at the broker, whichever it is: asked for by a declaration that declares nothing."""

from collections.abc import Iterable

import redis
from amqp.exceptions import AMQPError, ChannelError
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from app.errors import Unavailable

NONE_THERE = 404
PATIENCE_SECONDS = 3


def read(celery: Celery, queues: Iterable[str]) -> dict[str, int]:
    """Messages by queue; 0 for one that does not exist, for where nothing was ever sent nothing waits. Unavailable where the
    broker is away."""
    try:
        with celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE_SECONDS)
            return _read(connection, queues)
    except (OperationalError, AMQPError, redis.RedisError, OSError) as error:
        raise Unavailable(f"the broker did not say how many messages wait: {error}") from error


def _read(connection: Connection, queues: Iterable[str]) -> dict[str, int]:
    depths: dict[str, int] = {}
    channel = connection.channel()
    for queue in queues:
        try:
            depths[queue] = int(channel.queue_declare(queue=queue, passive=True).message_count)
        except ChannelError as error:
            if int(error.reply_code) != NONE_THERE:
                raise
            depths[queue] = 0
            channel = connection.channel()  # a broker closes the one on which it said no
    return depths
