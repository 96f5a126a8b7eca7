"""OpenTelemetry, where an operator has set OTEL_EXPORTER_OTLP_ENDPOINT; elsewhere none of it is imported.

Everything else is OpenTelemetry's own variables: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_*,
OTEL_EXPORTER_OTLP_HEADERS. Spans are sent in batches by a thread of each process, which is begun after the fork: under
gevent a greenlet, for gunicorn patches threads before it loads the app. A collector that is away costs the spans, nothing else.
"""

import importlib.util
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import structlog

from app import __version__, trail
from app.config import Settings
from app.errors import LightyardError

log = structlog.get_logger()
_NOTHING: AbstractContextManager[Any] = nullcontext()
_NANO = 1_000_000_000
_next_id: ContextVar[int | None] = ContextVar("next_span_id", default=None)
_statements: ContextVar[list[int] | None] = ContextVar("statements", default=None)
_place: ContextVar[Any] = ContextVar("place", default=None)
SDK_OFF = "OTEL_SDK_DISABLED"
OWN_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def is_wanted(settings: Settings) -> bool:
    """Whether somebody collects spans."""
    named = settings.otel_exporter_otlp_endpoint or os.environ.get(OWN_ENDPOINT)
    is_off = os.environ.get(SDK_OFF, "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    return bool(named) and not is_off


def start(settings: Settings, role: str) -> None:
    """Trace this process from here on, if that is wanted; before its database engine is made. Once per process."""
    if trail.tracer() is not None or not is_wanted(settings):
        return
    if importlib.util.find_spec("opentelemetry") is None:
        log.warning("tracing.not_installed", advice="run `make tracing`, or install requirements-tracing.lock")
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"lightyard-{role}"}
    resource = Resource.create({**named, "service.version": __version__, "service.instance.id": str(os.getpid())})
    endpoint = None if os.environ.get(OWN_ENDPOINT) else f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"
    provider = TracerProvider(resource=resource, id_generator=_make_ids())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trail.connect(Spans(provider))


def stop() -> None:
    """Send what is left; at the end of a process."""
    found = trail.tracer()
    if isinstance(found, Spans):
        trail.connect(None)
        found.provider.shutdown()


def _make_ids() -> Any:
    """Random ids, but those that a node's attempt has by itself."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        def generate_span_id(self) -> int:
            return _next_id.get() or super().generate_span_id()

    return Ids()


def span_id_of(attempt_id: uuid.UUID) -> int:
    """The span that a node's requests name as their parent while they are about this attempt (PROTOCOL.md)."""
    return attempt_id.int >> 64 or 1


class Spans:
    """`app.trail`'s tracer over OpenTelemetry's."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.provider = provider
        self._api, self._tracer = trace, provider.get_tracer("lightyard", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._kinds = {kind.name.lower(): kind for kind in trace.SpanKind}

    def span(self, name: str, kind: str, facts: Mapping[str, Any], parent: str | None) -> AbstractContextManager[Any]:
        is_database = kind == "database"
        if is_database and not self._api.get_current_span().is_recording():
            return _NOTHING
        known = {key: value for key, value in facts.items() if value is not None}
        if "url" in known:
            known["server.address"] = _host(str(known.pop("url")))
        context = None if parent is None else self._propagator.extract({trail.TRACE: parent})
        outer = self._api.get_current_span().get_span_context()
        links = (self._api.Link(outer),) if parent is not None and outer.is_valid else ()
        kind_of_span = self._kinds["client" if is_database else kind]
        begun = self._tracer.start_span(name, context, kind_of_span, attributes=known, links=links)
        return _Open(self._api, begun, is_database)

    def note(self, facts: Mapping[str, Any]) -> None:
        self._api.get_current_span().set_attributes(dict(facts))

    def count_statement(self) -> None:
        counted = _statements.get()
        if counted is not None:
            counted[0] += 1

    def traceparent(self) -> str | None:
        """The span that is at work, not the transaction in it: whatever goes on from here does not belong into that."""
        place = _place.get()
        if place is None:
            return None
        context = place.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def record(self, attempt: trail.Attempt) -> None:
        """The attempt under the request that ordered the job, with its steps, by this hub's clock."""
        now = time.time_ns()
        outer = self._propagator.extract({trail.TRACE: attempt.parent})
        facts = {key: value for key, value in attempt.facts.items() if value is not None}
        token = _next_id.set(span_id_of(attempt.id))
        try:
            began = now - int(attempt.seconds * _NANO)
            whole = self._tracer.start_span("attempt", outer, self._kinds["consumer"], attributes=facts, start_time=began)
        finally:
            _next_id.reset(token)
        inner = self._api.set_span_in_context(whole, outer)
        for name, ago, seconds in attempt.steps:
            step = self._tracer.start_span(name, inner, start_time=max(began, now - int(ago * _NANO)))
            step.end(min(now, max(began, now - int((ago - seconds) * _NANO))))
        whole.end(now)


class _Open:
    """A span that is the current one inside its `with`. Of an error it keeps the kind: texts carry values."""

    __slots__ = ("_api", "_span", "_is_database", "_token", "_counting", "_outer")

    def __init__(self, api: Any, span: Any, is_database: bool) -> None:
        self._api, self._span, self._is_database = api, span, is_database

    def __enter__(self) -> Any:
        from opentelemetry import context

        self._token = context.attach(self._api.set_span_in_context(self._span))
        if self._is_database:
            self._counting = _statements.set([0])
            return self._span
        self._outer = _place.set(self._span)
        trace_id = f"{self._span.get_span_context().trace_id:032x}"
        bound = trail.bound()
        if bound and bound.get("trace_id") != trace_id:
            trail.bind(trace_id=trace_id)
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        from opentelemetry import context

        if self._is_database:
            counted = _statements.get()
            self._span.set_attribute("db.statements", counted[0] if counted else 0)
            _statements.reset(self._counting)
        else:
            _place.reset(self._outer)
        if kind is not None:
            self._span.set_attribute("error.type", kind.__name__)
            if not (isinstance(error, LightyardError) and error.status < 500):  # a refusal is an answer
                self._span.set_status(self._api.Status(self._api.StatusCode.ERROR, kind.__name__))
        self._span.end()
        context.detach(self._token)


def _host(url: str) -> str:
    """Who is asked, and nothing of how: paths and queries of RPC nodes are keys."""
    try:
        return urlsplit(url).hostname or "?"
    except ValueError:
        return "?"
