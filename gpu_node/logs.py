"""Logs as one JSON object a line on stderr, so that a farm's collector can read them."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

MAX_MESSAGE_CHARACTERS = 4000
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage()[:MAX_MESSAGE_CHARACTERS],
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-MAX_MESSAGE_CHARACTERS:]
        return json.dumps(line, default=str)


def set_up_logging(level: str = "INFO") -> None:
    """Routes every logger of this process to stderr as JSON. Calling it again changes only the level."""
    root = logging.getLogger()
    root.setLevel(level)
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        root.handlers[:] = [handler]
    logging.getLogger("httpx").setLevel(logging.WARNING)
