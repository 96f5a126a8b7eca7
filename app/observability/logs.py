"""Structured logs: one JSON object a line, UTC times, the ids of the work that a line belongs to, and no secrets."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import structlog

from app import trail
from app.config import Settings
from app.observability import scrubbing
from app.observability.scrubbing import scrub

NAME = "lightyard"


def _merge_trail(_logger: Any, _name: str, event: Any) -> Any:
    """What is bound comes along; what the line itself says wins."""
    bound = trail.bound()
    return {**bound, **event} if bound else event


def _add_time(_logger: Any, _name: str, event: Any) -> Any:
    event["timestamp"] = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return event


def _scrubbed(_logger: Any, _name: str, line: Any) -> Any:
    return scrub(line)


SHARED = (_merge_trail, structlog.processors.add_log_level, _add_time, structlog.processors.format_exc_info)
RENDERED = (structlog.processors.JSONRenderer(), _scrubbed)


def configure(level: str = "INFO", settings: Settings | None = None) -> None:
    """JSON lines on standard error; what other libraries log goes the same way, and no secret of `settings` with it."""
    if settings is not None:
        scrubbing.know(settings)
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*SHARED, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *RENDERED],
        )
    )
    handler.name = NAME
    root = logging.getLogger()
    root.handlers = [*(item for item in root.handlers if item.name != NAME), handler]
    root.setLevel(logging.WARNING)
    structlog.configure(
        processors=[*SHARED, *RENDERED],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.WriteLoggerFactory(sys.__stderr__),  # one write a line: processes share the file
        cache_logger_on_first_use=True,
    )


def level_of(settings: Settings) -> str:
    return "DEBUG" if settings.debug else "INFO"
