"""poller: the process that polls Cocoon workers."""

import click

from app.cli.printing import examples
from app.config import load
from app.poller.process import run


@click.command(epilog=examples("poller"))
def poller() -> None:
    """Poll Cocoon workers until it is told to end; several of these share the work.

    DATABASE_URL and REDIS_URL say where the hub is; `lightyard up` runs one.
    """
    run(load())


COMMANDS = (poller,)
