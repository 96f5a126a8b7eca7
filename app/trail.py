"""Where work comes from: the request that began it, and what else its log lines must name; and spans, where somebody traces.

Whoever begins work (a request, a task) says `begin`; everything that is logged on the way carries what is bound, and whatever is
stored or sent on carries `carried`, so that the next process goes on under the same ids. Without a tracer a span is nothing.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

REQUEST, VIA, TRACE = "request_id", "via_request_id", "traceparent"
_NOTHING: AbstractContextManager[Any] = nullcontext()
_NOBODY: Mapping[str, Any] = {}
_bound: ContextVar[Mapping[str, Any]] = ContextVar("trail", default=_NOBODY)
_noted: ContextVar[dict[str, Any] | None] = ContextVar("trail_noted", default=None)


class Tracer(Protocol):
    """Who keeps spans. `traceparent` is W3C's text; a span's `parent` is one, from another process."""

    def span(self, name: str, kind: str, facts: Mapping[str, Any], parent: str | None) -> AbstractContextManager[Any]: ...

    def note(self, facts: Mapping[str, Any]) -> None: ...

    def count_statement(self) -> None: ...

    def traceparent(self) -> str | None: ...

    def record(self, attempt: "Attempt") -> None: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """A node's work on a unit, told of when it was over: `steps` are (name, seconds before now that it began, seconds).

    Nodes keep no spans: their hosts are strangers to whoever collects them, and their clocks may be wrong.
    """

    id: uuid.UUID
    parent: str
    seconds: float
    facts: Mapping[str, Any]
    steps: tuple[tuple[str, float, float], ...] = ()


_tracer: Tracer | None = None


def connect(tracer: Tracer | None) -> None:
    """Say who keeps spans."""
    global _tracer
    _tracer = tracer


def tracer() -> Tracer | None:
    """Who keeps spans in this process; None where nobody does."""
    return _tracer


def begin(**ids: Any) -> None:
    """New work in this thread or greenlet: what was bound before is gone."""
    _bound.set(ids)
    _noted.set({})


def end() -> None:
    """The work is over; what comes next here belongs to nobody."""
    _bound.set(_NOBODY)
    _noted.set(None)


def bind(**ids: Any) -> None:
    """From here on every line of this work carries these, too."""
    _bound.set({**_bound.get(), **ids})


def bound() -> Mapping[str, Any]:
    """What each line of this work carries."""
    return _bound.get()


def note(**ids: Any) -> None:
    """What turned out on the way: on the span, and on the work's own last line, where it stayed the only one of its name."""
    noted = _noted.get()
    if noted is not None:
        for name, value in ids.items():
            if noted.setdefault(name, value) != value:
                noted[name] = None
    if _tracer is not None:
        _tracer.note(ids)


def noted() -> dict[str, Any]:
    """What was noted and is not one of several."""
    return {name: value for name, value in (_noted.get() or {}).items() if value is not None}


def request_id() -> str | None:
    """The id of the request that began this."""
    found = _bound.get().get(REQUEST)
    return None if found is None else str(found)


def traceparent() -> str | None:
    """Where this work stands in its trace; None without a tracer."""
    return None if _tracer is None else _tracer.traceparent()


def carried() -> dict[str, str]:
    """What goes along with a message or into a row, so that whoever takes it goes on under the same ids."""
    found = {REQUEST: request_id(), TRACE: traceparent()}
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def resumed(name: str, order_id: str | None, parent: str | None, **ids: Any) -> Iterator[None]:
    """Inside, work is done for an earlier request, that ordered a job: `order_id` is its id, `parent` its place in a trace.

    Lines carry that id, and as `via_request_id` the one of whoever asks now; the two traces know of each other.
    """
    now = _bound.get()
    via = {} if order_id is None or now.get(REQUEST) in (None, order_id) else {VIA: now[REQUEST]}
    token = _bound.set({**now, **ids, **({} if order_id is None else {REQUEST: order_id}), **via})
    try:
        with span(name, parent=parent, **ids):
            yield
    finally:
        _bound.reset(token)


def span(name: str, kind: str = "internal", parent: str | None = None, **facts: Any) -> AbstractContextManager[Any]:
    """A piece of work. `kind`: internal, server, client, producer, consumer, or database (kept only inside another one).

    `url` among the facts is kept as the name of its host: addresses carry keys.
    """
    return _NOTHING if _tracer is None else _tracer.span(name, kind, facts, parent)
