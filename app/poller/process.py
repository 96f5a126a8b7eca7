"""The poller's process: its parts in one event loop, until it is told to end."""

import asyncio
import resource
import signal

import structlog

from app.config import Settings
from app.observability import logs
from app.observability.reporter import Reporter, pool_gauges
from app.poller.cocoon import CocoonPoller
from app.wiring import Hub, build

log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Poll until SIGTERM or SIGINT; what is under way then is finished."""
    logs.configure("DEBUG" if settings.debug else "INFO")
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a thousand slow workers are as many open sockets
    hub = build(settings)
    reporter = Reporter(hub.cache, "poller", pool_gauges("poller", hub.database, 2 * settings.database_pool_size))
    reporter.start()
    try:
        asyncio.run(_run(hub))
    finally:
        reporter.stop()
        hub.database.engine.dispose()


async def _run(hub: Hub) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    log.info("poller.started", poll_seconds=hub.settings.worker_poll_seconds)
    await CocoonPoller(hub).run(stopping)
    log.info("poller.ended")
