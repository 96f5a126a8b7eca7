"""`lightyard up`: the whole marketplace on one machine, on embedded parts, until Ctrl-C."""

import signal
from collections.abc import Iterator
from functools import partial
from types import FrameType

from app.config import Settings
from app.stack.doctor import FAIL, servers, together
from app.stack.doctor.place import look_around
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
        for line in unanswered(settings):
            supervisor.say(line)
        print(f"lightyard ready {stack.url}", flush=True)
        supervisor.watch()
    except Interrupted:
        print("lightyard: interrupted while starting", flush=True)
    finally:
        is_starting = False
        supervisor.is_stopping = True
        stack.stop()


def unanswered(settings: Settings) -> Iterator[str]:
    """What to say of a Valkey or a broker that was set and does not answer: the API is up without them, but every message to the
    hub's worker and to nodes goes over them, so whoever set a wrong address would wait for a render, and never hear why."""
    place = look_around(settings)
    for finding in together({look.__name__: partial(look, place) for look in (servers.valkey, servers.broker)}, {}):
        if finding.mark == FAIL:
            what = f"{finding.name} does not answer: {finding.text.rstrip('.')}; {finding.advice}"
            yield f"{what}. Until it does, orders wait: no sweep runs and no node is rung"
