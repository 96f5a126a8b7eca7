"""gunicorn's access log, where an operator wants one: without the tokens that websockets may carry in their address."""

from typing import Any

from gunicorn.glogging import Logger

from app.observability.logs import scrub

ADDRESSES = ("r", "q", "f")
SECRET_HEADERS = ("{authorization}i", "{x-api-key}i", "{cookie}i")


class AccessLogger(Logger):
    """As gunicorn's own."""

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
