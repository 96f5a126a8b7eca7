"""Requests per minute and address, counted in Valkey; a counter that is away never stops a request."""

import time

import redis
import structlog
from flask import request

from app.api.context import hub
from app.errors import RateLimited

log = structlog.get_logger()


def limit(name: str, per_minute: int) -> None:
    """Count this request against `name`'s minute; 429 with Retry-After past the limit."""
    if not hub().settings.rate_limits:
        return
    minute, second = divmod(int(time.time()), 60)
    key = f"limit:{name}:{request.remote_addr}:{minute}"
    try:
        batch = hub().cache.pipeline()
        batch.incr(key)
        batch.expire(key, 120)
        count, _ = batch.execute()
    except redis.RedisError as error:
        log.warning("limits.away", error=str(error))
        return
    if count > per_minute:
        wait = 60 - second
        raise RateLimited(f"Too many requests: {per_minute} per minute; try again in {wait} s", details={"retry_after": wait})
