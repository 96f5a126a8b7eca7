"""Logs as one JSON object a line on stderr, so that a farm's collector can read them; no secret is in them."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from gpu_node import trail
from gpu_node.scrubbing import scrub

MAX_MESSAGE_CHARACTERS = 4000
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Celery hangs the arguments of a task on its lines; libraries of the network tell headers at DEBUG.
_LEFT_OUT = _STANDARD | {"data"}
_TALKATIVE = ("httpx", "httpcore", "websockets", "urllib3", "amqp", "kombu")
log = logging.getLogger(__name__)


def _now(seconds: float | None = None) -> str:
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "timestamp": _now(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage()[:MAX_MESSAGE_CHARACTERS],
            **trail.ids(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _LEFT_OUT})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-MAX_MESSAGE_CHARACTERS:]
        return scrub(json.dumps(line, default=str))


def set_up_logging(level: str = "INFO") -> None:
    """Routes every logger of this process to stderr as JSON. Calling it again changes only the level, which is that of this
    package: what the libraries below it would say at DEBUG holds tokens."""
    root = logging.getLogger()
    root.setLevel(max(logging.getLevelName(level), logging.INFO))
    logging.getLogger("gpu_node").setLevel(level)
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        root.handlers[:] = [handler]
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_uncaught() -> None:
    """What nobody catches is a line, too, and so are warnings. For the life of this process."""
    logging.captureWarnings(True)
    sys.excepthook = _of_process
    threading.excepthook = _of_thread
    sys.unraisablehook = lambda found: log.error(
        "an object crashed", exc_info=(found.exc_type, found.exc_value or found.exc_type(), found.exc_traceback))
    celery = sys.modules.get("celery.apps.worker")
    if celery is not None:
        celery.safe_say = _say  # type: ignore[attr-defined]


def _of_process(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("the process crashed", exc_info=(kind, error, trace))


def _of_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None and not isinstance(found.exc_value, SystemExit):
        log.error("a thread crashed", exc_info=(found.exc_type, found.exc_value, found.exc_traceback))


def _say(message: str, file: Any = None) -> None:
    """In place of Celery's word on its way out, which comes inside a signal handler: one write, no lock. `file` is Celery's."""
    line = {"timestamp": _now(), "level": "info", "logger": "celery", "event": str(message).strip()}
    os.write(2, json.dumps(line).encode() + b"\n")
