"""What nobody catches is a log line, too: exceptions of the main thread, of threads and greenlets, of destructors; warnings; what
Celery says when it is told to end."""

import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import structlog

from app import greenlets

log = structlog.get_logger()


def install() -> None:
    """For the life of this process; it is the entry of a service that calls it, never a library or a test."""
    logging.captureWarnings(True)
    sys.excepthook = _of_process
    threading.excepthook = _of_thread
    sys.unraisablehook = _unraisable
    if greenlets.is_gevent():
        from gevent.hub import Hub  # only where gevent runs the process

        Hub.print_exception = _of_greenlet
    celery = sys.modules.get("celery.apps.worker")
    if celery is not None:
        celery.safe_say = _say  # type: ignore[attr-defined]


def _of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("process.crashed", exc_info=(kind, error, trace))


def _of_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None and not isinstance(found.exc_value, SystemExit):
        name = found.thread.name if found.thread else None
        log.error("thread.crashed", thread=name, exc_info=(found.exc_type, found.exc_value, found.exc_traceback))


def _unraisable(found: Any) -> None:
    log.error("object.crashed", where=repr(found.object)[:200], exc_info=(found.exc_type, found.exc_value, found.exc_traceback))


def _of_greenlet(_hub: Any, context: Any, kind: Any, error: Any, trace: Any) -> None:
    """In place of gevent's own, which prints; `context` is whatever ran."""
    value = error if isinstance(error, BaseException) else kind(error)
    log.error("greenlet.crashed", greenlet=type(context).__name__, exc_info=(type(value), value, trace))


def _say(message: str, file: Any = None) -> None:
    """In a signal handler: one write, no lock, no buffer. `file` is Celery's choice, which is standard error."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line = {"event": "celery.says", "message": str(message).strip(), "level": "info", "timestamp": now}
    os.write(2, json.dumps(line).encode() + b"\n")
