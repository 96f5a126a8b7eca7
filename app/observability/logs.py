"""Structured logs: one JSON object a line, no secrets in it."""

import logging
import re
import sys
from typing import Any

import structlog

NAME = "lightyard"
_TOKEN = re.compile(r"((?:token|api_key)=)[^&\s\"']+", re.IGNORECASE)


def scrub(text: str) -> str:
    """A log line, or an address in it, without the tokens that websockets may carry in their query."""
    return _TOKEN.sub(r"\1...", text)


def _without_tokens(_logger: Any, _name: str, event: Any) -> Any:
    """Of what other libraries log: a web server names the address that it could not serve."""
    for key in ("event", "exception"):
        if isinstance(event.get(key), str):
            event[key] = scrub(event[key])
    return event


SHARED = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure(level: str = "INFO") -> None:
    """JSON lines on standard error, with UTC times; what other libraries log goes the same way."""
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*SHARED, structlog.stdlib.add_logger_name, _without_tokens],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        )
    )
    handler.name = NAME
    root = logging.getLogger()
    root.handlers = [*(item for item in root.handlers if item.name != NAME), handler]
    root.setLevel(logging.WARNING)
    structlog.configure(
        processors=[*SHARED, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.__stderr__),
        cache_logger_on_first_use=True,
    )
