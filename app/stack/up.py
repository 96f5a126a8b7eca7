"""`lightyard up`: the whole marketplace on one machine, on embedded parts, until Ctrl-C."""

import signal
from types import FrameType

from app.config import Settings
from app.stack.stack import Stack


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM while the stack was still starting."""


def up(settings: Settings) -> None:
    """Everything in the foreground until Ctrl-C or SIGTERM, which stops it all cleanly; a second one kills it at once."""
    stack = Stack(settings)
    supervisor, is_starting = stack.supervisor, True

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if supervisor.is_stopping:
            supervisor.kill()
            return
        supervisor.is_stopping = True
        if is_starting:
            raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        stack.start()
        is_starting = False
        print(f"lightyard ready {stack.url}", flush=True)
        supervisor.watch()
    except Interrupted:
        print("lightyard: interrupted while starting", flush=True)
    finally:
        is_starting = False
        supervisor.is_stopping = True
        stack.stop()
