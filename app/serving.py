"""gunicorn's configuration: `gunicorn -c python:app.serving wsgi:app`. Sockets and requests share gevent workers."""

import os
import resource
from typing import Any

from app.config import load
from app.observability import process_files, tracing

_settings = load()
bind = f"{_settings.bind_host}:{_settings.port}"
workers = _settings.api_workers
worker_class = "gevent"
timeout = 120
graceful_timeout = 10
limit_request_line, limit_request_fields, limit_request_field_size = 8190, 100, 8190
keepalive = 2  # seconds that a request's head may take, too; a worker that stops waits no longer for idle connections
forwarded_allow_ips = ""  # who may speak for others is TRUSTED_PROXIES' business, in app.api.proxies
control_socket_disable = True
RELAY_LEAVE_SECONDS = 2.0
logger_class = "app.observability.access.AccessLogger"
# A socket of the relay is a file; the workers inherit what the master may have.
_, _most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_most_files, _most_files))


def on_starting(_server: Any) -> None:
    """What processes before this one counted is not counted again."""
    if process_files.FOLDER in os.environ:
        process_files.begin()


def post_worker_init(worker: Any) -> None:
    """What this worker counts is told to every other process's scrape, too."""
    worker.wsgi.extensions["lightyard_reporter"].start()


def worker_exit(_server: Any, worker: Any) -> None:
    """Nodes on the relay are told to connect again: to another worker, or to the next."""
    for name in ("lightyard_watchers", "lightyard_task_streams", "lightyard_relay"):
        relay = getattr(worker.wsgi, "extensions", {}).get(name)
        if relay is not None:
            relay.exchange.leave(RELAY_LEAVE_SECONDS)
    reporter = getattr(worker.wsgi, "extensions", {}).get("lightyard_reporter")
    if reporter is not None:
        reporter.stop()
    tracing.stop()


def child_exit(_server: Any, worker: Any) -> None:
    """A worker that is gone no longer counts in the gauges of living processes; what it counted stays."""
    if process_files.FOLDER in os.environ:
        process_files.fold(worker.pid)
