"""gunicorn's own lines are JSON like all others; its access log, where an operator wants one beside ours, holds no tokens."""

from typing import Any

from gunicorn.glogging import Logger

from app.config import load
from app.observability import logs, uncaught
from app.observability.scrubbing import scrub

ADDRESSES = ("r", "q", "f")
SECRET_HEADERS = ("{authorization}i", "{x-api-key}i", "{cookie}i")


class AccessLogger(Logger):
    """As gunicorn's own, but for where its lines go."""

    def setup(self, cfg: Any) -> None:
        """From the first line of the master on."""
        super().setup(cfg)
        settings = load()
        logs.configure(logs.level_of(settings), settings)
        uncaught.install()
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        """The parts of a log line."""
        found: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        for name in ADDRESSES:
            found[name] = scrub(found[name] or "")
        for name in found:
            lowered = name.lower()
            if lowered in SECRET_HEADERS:
                found[name] = "..."
            elif lowered.endswith("}e") and isinstance(found[name], str):
                found[name] = scrub(found[name])
        return found
