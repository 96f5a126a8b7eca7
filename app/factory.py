"""Builds the Flask app: the dialects on one port, each with its own OpenAPI file, limits and errors."""

import hmac
import http
import os
from collections.abc import Iterator
from functools import cache
from itertools import chain
from threading import Lock
from typing import Any

import structlog
from flask import Flask, Response, request
from flask_smorest import Api, Blueprint
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_flask_exporter import PrometheusMetrics
from werkzeug.exceptions import Unauthorized

from app import __version__
from app.adapters.exposition_shelf import COCOON as COCOON_WORKERS
from app.adapters.exposition_shelf import NODES, ExpositionShelf
from app.api import allowances, bodies, files, headers, keyring, limits, security, signed_forms
from app.api.cocoon import document as cocoon
from app.api.cocoon import routes as cocoon_routes
from app.api.cocoon import watching
from app.api.dialect import OTHER, Dialect, envelope, install_errors, name_of, owner_of
from app.api.node import views as node
from app.api.proxies import TrustedProxies
from app.api.rayment import document, provider_views
from app.api.rayment import views as rayment
from app.api.rendertrust import document as rendertrust
from app.api.rendertrust import routes as rendertrust_routes
from app.api.rnp019 import document as rnp019
from app.api.rnp019 import events as rnp019_events
from app.api.rnp019 import routes as rnp019_routes
from app.api.robocompute import document as robocompute
from app.api.robocompute import routes as robocompute_routes
from app.api.robocompute import streaming
from app.api.rules import LateRule
from app.config import Settings
from app.config_checks import warnings
from app.core import figures, tallies
from app.core.figures import Figure
from app.observability import logs, requests, tracing
from app.observability.metrics import OF_PROCESS, MarketplaceCollector
from app.observability.process_files import LivingFiles
from app.observability.reporter import Reporter, pool_gauges
from app.observability.request_families import RequestFamilies, bound_methods
from app.relay import rayment as rayment_relay
from app.relay import rendertrust as rendertrust_relay
from app.relay import task_streams, worker_metrics
from app.values.networks import read_networks
from app.web import docs
from app.wiring import Hub, build

log = structlog.get_logger()
RAYMENT = Dialect(
    "rayment",
    ("/health", "/stats", "/providers", "/render", "/provider", "/ws"),
    lambda code, message, details: {"success": False, "error": message, "code": code},
    limit=limits.rayment_limit,
    title="Rayment: pay per render on Solana",
    introduction=document.INTRODUCTION,
    error_schema=document.ref("RaymentError"),
    schemas=document.SCHEMAS,
)
NODE = Dialect(
    "node", ("/node/v1", "/files"), envelope, limit=limits.node_limit, title="Node protocol: how GPU hosts talk to the hub"
)
RENDERTRUST = Dialect(
    "rendertrust",
    ("/version", "/metrics", "/redoc", "/api/v1"),  # whose nouns below it are another dialect's, that one owns by a longer prefix
    rendertrust.error_body,
    invalid_status=422,
    limit=limits.rendertrust_limit,
    title="RenderTrust: credits, edge nodes and proofs",
    introduction=rendertrust.INTRODUCTION,
    error_schema=rendertrust.ERROR_SCHEMA,
    security_schemes=rendertrust.SECURITY_SCHEMES,
)
RNP019 = Dialect(
    "rnp019",
    ("/rnp/v1",),
    envelope,
    limit=limits.rnp019_limit,
    title="Render Network RNP-019: wallets, keys and scenes",
    introduction=rnp019.INTRODUCTION,
    security_schemes=rnp019.SECURITY_SCHEMES,
)
COCOON = Dialect(
    "cocoon",
    ("/api/v1/workers", "/api/v1/participants", "/api/v1/payouts", "/ws/metrics"),
    cocoon.error_body,
    invalid_status=422,
    limit=limits.cocoon_limit,
    takes_forms=False,
    title="Cocoon: workers, participants and payouts on TON",
    introduction=cocoon.INTRODUCTION,
    error_schema=cocoon.ERROR_SCHEMA,
    security_schemes=cocoon.SECURITY_SCHEMES,
)
ROBOCOMPUTE = Dialect(
    "robocompute",
    ("/api/v1/tasks", "/api/v1/wallet", "/api/v1/billing", "/api/v1/providers"),
    robocompute.error_body,
    takes_forms=False,
    title="RoboCompute: compute tasks in containers",
    introduction=robocompute.INTRODUCTION,
    security_schemes=robocompute.SECURITY_SCHEMES,
)
DIALECTS = (RAYMENT, NODE, RENDERTRUST, RNP019, COCOON, ROBOCOMPUTE)
DIALECT_NAMES = (*(dialect.name for dialect in DIALECTS), OTHER)
UNLIMITED = ("/metrics",)


def create_app(settings: Settings, hub: Hub | None = None) -> Flask:
    """The WSGI app; `hub` may be given ready made."""
    logs.configure(logs.level_of(settings), settings)
    tracing.start(settings, "api")
    for name, reason in warnings(settings).items() if settings.is_production else ():
        log.warning("settings.doubtful", setting=name, message=reason)
    app = Flask("lightyard", static_folder=None)
    app.url_rule_class = LateRule
    app.config.update(
        MAX_FORM_MEMORY_SIZE=1_048_576,
        MAX_FORM_PARTS=64,
        MAX_CONTENT_LENGTH=settings.max_upload_bytes + 1_048_576,
    )
    app.extensions["lightyard"] = hub or build(settings)
    keyring.install(app, settings)
    requests.install(app)
    _install_metrics(app, settings, app.extensions["lightyard"])  # early: what others refuse is timed, too
    if settings.trusted_proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, read_networks(settings.trusted_proxies))  # type: ignore[method-assign]
    headers.install(app, settings)
    limits.install(app, lambda path: None if path in UNLIMITED else owner_of(path, DIALECTS).limit)
    allowances.install(app, lambda path: owner_of(path, DIALECTS) is ROBOCOMPUTE)
    security.install(app)
    bodies.install(app, settings, lambda path: owner_of(path, DIALECTS).takes_forms)
    signed_forms.install(app, lambda path: owner_of(path, DIALECTS).takes_forms)
    security.install_signatures(app)
    allowances.install_signed(app, lambda path: owner_of(path, DIALECTS) is ROBOCOMPUTE)
    apis = (
        (RAYMENT, _install_dialect(app, RAYMENT, rayment.blueprint, provider_views.blueprint)),
        (NODE, _install_dialect(app, NODE, node.blueprint, files.blueprint)),
        (RENDERTRUST, _install_dialect(app, RENDERTRUST, *rendertrust_routes.BLUEPRINTS)),
        (RNP019, _install_dialect(app, RNP019, *rnp019_routes.BLUEPRINTS)),
        (COCOON, _install_dialect(app, COCOON, *cocoon_routes.BLUEPRINTS)),
        (ROBOCOMPUTE, _install_dialect(app, ROBOCOMPUTE, *robocompute_routes.BLUEPRINTS)),
    )
    docs.install(app, {dialect.name: (dialect.title, api.document) for dialect, api in apis}, reading=RENDERTRUST.name)
    rayment_relay.install(app, app.extensions["lightyard"])
    rendertrust_relay.install(app, app.extensions["lightyard"], security.node_token, node.describe)
    worker_metrics.install(app, app.extensions["lightyard"], watching.admit)
    rnp019_events.install(app, app.extensions["lightyard"])
    task_streams.install(app, app.extensions["lightyard"], streaming.admit, streaming.Words())
    install_errors(app, DIALECTS)
    return app


class DialectApi(Api):
    """One OpenAPI file, written when somebody first asks for it; its errors look like the dialect's own."""

    def __init__(self, app: Flask, *, config_prefix: str, dialect: Dialect) -> None:
        self._error_schema = dialect.error_schema
        self._undocumented: list[Blueprint] = []
        self._documenting = Lock()
        self._has_responses = False
        super().__init__(app, config_prefix=config_prefix)
        for name, schema in dialect.schemas.items():
            self.spec.components.schema(name, schema)
        for name, scheme in dialect.security_schemes.items():
            self.spec.components.security_scheme(name, scheme)

    def register_blueprint(self, blp: Blueprint) -> None:
        """Serve it now. Nobody waits for its documentation when a process starts."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        self._app.register_blueprint(blp)
        self._undocumented.append(blp)

    def document(self) -> dict[str, Any]:
        """The OpenAPI file."""
        with self._documenting:
            if not self._has_responses:
                self._describe_errors()
                self._has_responses = True
            while self._undocumented:
                blueprint = self._undocumented.pop(0)
                blueprint.register_views_in_doc(self, self._app, self.spec, name=blueprint.name, parameters=None)
                self.spec.tag({"name": blueprint.name, "description": blueprint.description})
            return self.spec.to_dict()

    def _register_responses(self) -> None:
        """flask-smorest writes its own error body here, at every start; ours are the dialect's, and only the document's."""

    def _describe_errors(self) -> None:
        content = {"application/json": {"schema": self._error_schema}}
        for status in http.HTTPStatus:
            self.spec.components.response(status.name, {"description": status.phrase, "content": content}, lazy=True)
        self.spec.components.response("DEFAULT_ERROR", {"description": "Any other error", "content": content}, lazy=True)


def _install_dialect(app: Flask, dialect: Dialect, *blueprints: Blueprint) -> DialectApi:
    prefix = f"{dialect.name.upper()}_"
    app.config.update(
        {
            f"{prefix}API_TITLE": f"Lightyard: {dialect.title}",
            f"{prefix}API_VERSION": __version__,
            f"{prefix}OPENAPI_VERSION": "3.1.0",
            f"{prefix}API_SPEC_OPTIONS": {"info": {"description": dialect.introduction}},
        }
    )
    api = DialectApi(app, config_prefix=prefix, dialect=dialect)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    return api


def _figures(hub: Hub) -> list[Figure]:
    with hub.database.unit_of_work() as session:
        seconds = hub.settings.node_unhealthy_seconds
        found = [*figures.read(session, seconds), *figures.read_fleet(session, seconds), *tallies.read(session, hub.prices)]
    with hub.database.unit_of_work() as session:
        return [*found, *figures.read_server(session)]


@cache
def _dialect_of(rule: str) -> str:
    return name_of(rule, DIALECTS)


def _socket_gauges(app: Flask) -> Iterator[Figure]:
    """What is open on the relay, and what waits there for slow readers."""
    for endpoint, name in (
        ("rendertrust", "lightyard_relay"),
        ("watchers", "lightyard_watchers"),
        ("tasks", "lightyard_task_streams"),
    ):
        exchange = app.extensions[name].exchange
        yield Figure("relay_connections", len(exchange), {"endpoint": endpoint})
        yield Figure("relay_waiting_bytes", exchange.waiting_bytes(), {"endpoint": endpoint})
    yield Figure("relay_connections", len(app.extensions[rnp019_events.SEATS]), {"endpoint": "events"})


def _install_metrics(app: Flask, settings: Settings, hub: Hub) -> None:
    """Request figures from every gunicorn process in one exposition."""
    shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
    registry = CollectorRegistry()
    bound_methods(app)
    PrometheusMetrics(app, registry=registry, group_by="url_rule", defaults_prefix="lightyard", path=None)
    gauges = pool_gauges("api", hub.database, 2 * settings.database_pool_size)
    reporter = app.extensions["lightyard_reporter"] = Reporter(hub.cache, "api", gauges, lambda: _socket_gauges(app))
    marketplace = MarketplaceCollector(lambda: _figures(hub), hub.cache, reporter.report_to_scrape)
    shelves = [ExpositionShelf(settings.redis_url, name) for name in (NODES, COCOON_WORKERS)]
    if not shared:
        for collector in (marketplace, *OF_PROCESS):
            registry.register(collector)

    @app.get("/metrics")
    def metrics() -> Response:
        sent = request.headers.get("Authorization", "").encode("latin-1", "replace")
        if settings.metrics_token and not hmac.compare_digest(sent, f"Bearer {settings.metrics_token}".encode()):
            raise Unauthorized("metrics want their bearer token")
        source = registry
        if shared:
            source = CollectorRegistry()
            LivingFiles(source)
            source.register(marketplace)
        families = RequestFamilies(source, DIALECT_NAMES, _dialect_of)
        told = generate_latest(families)
        body = [told, *chain(*(shelf.read() for shelf in shelves if reporter.is_heard))]  # else each would wait for Valkey, too
        return Response(body, content_type=CONTENT_TYPE_LATEST)
