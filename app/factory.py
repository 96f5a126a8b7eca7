"""Builds the Flask app: the dialects on one port, each with its own OpenAPI file and errors."""

import os

from flask import Flask, Response, jsonify, request
from flask_jwt_extended import JWTManager
from flask_smorest import Api
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from prometheus_flask_exporter import PrometheusMetrics
from werkzeug.exceptions import Unauthorized
from werkzeug.middleware.proxy_fix import ProxyFix

from app import __version__
from app.api import files
from app.api.dialect import Dialect, envelope, install_errors
from app.api.node import views as node
from app.api.rayment import provider_views
from app.api.rayment import views as rayment
from app.config import Settings
from app.observability import logs
from app.relay import rayment as rayment_relay
from app.wiring import Hub, build

RAYMENT = Dialect(
    "rayment",
    ("/health", "/stats", "/providers", "/render", "/provider", "/ws"),
    lambda code, message, details: {"success": False, "error": message, "code": code},
)
NODE = Dialect("node", ("/node/v1", "/files"), envelope)
DIALECTS = (RAYMENT, NODE)


def create_app(settings: Settings, hub: Hub | None = None) -> Flask:
    """The WSGI app; `hub` may be given ready made."""
    logs.configure()
    app = Flask("lightyard", static_folder=None)
    app.config.update(
        JWT_SECRET_KEY=settings.secret_key,
        MAX_FORM_MEMORY_SIZE=1_048_576,
        MAX_FORM_PARTS=64,
        MAX_CONTENT_LENGTH=settings.max_upload_bytes + 1_048_576,
    )
    app.extensions["lightyard"] = hub or build(settings)
    JWTManager(app)
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    _limit_bodies(app, settings)
    _install_metrics(app, settings)
    _install_dialect(app, RAYMENT, rayment.blueprint, provider_views.blueprint)
    _install_dialect(app, NODE, node.blueprint, files.blueprint)
    rayment_relay.install(app, app.extensions["lightyard"])
    install_errors(app, DIALECTS)
    return app


def _install_dialect(app: Flask, dialect: Dialect, *blueprints: object) -> None:
    prefix = f"{dialect.name.upper()}_"
    app.config.update(
        {
            f"{prefix}API_TITLE": f"Lightyard: {dialect.name}",
            f"{prefix}API_VERSION": __version__,
            f"{prefix}OPENAPI_VERSION": "3.1.0",
        }
    )
    api = Api(app, config_prefix=prefix)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    spec = api.spec

    def describe() -> Response:
        return jsonify(spec.to_dict())

    app.add_url_rule(f"/openapi/{dialect.name}.json", f"openapi_{dialect.name}", describe)


def _limit_bodies(app: Flask, settings: Settings) -> None:
    """A JSON body is small; a form or an upload may be as large as a scene."""

    @app.before_request
    def limit() -> None:
        if request.mimetype not in ("multipart/form-data",) and not request.path.startswith("/files/"):
            request.max_content_length = settings.max_json_bytes


def _install_metrics(app: Flask, settings: Settings) -> None:
    """Request figures from every gunicorn process in one exposition."""
    shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
    registry = CollectorRegistry()
    PrometheusMetrics(app, registry=registry, group_by="url_rule", defaults_prefix="lightyard", path=None)

    @app.get("/metrics")
    def metrics() -> Response:
        if settings.metrics_token and request.headers.get("Authorization") != f"Bearer {settings.metrics_token}":
            raise Unauthorized("metrics want their bearer token")
        source = registry
        if shared:
            source = CollectorRegistry()
            multiprocess.MultiProcessCollector(source)
        return Response(generate_latest(source), content_type=CONTENT_TYPE_LATEST)
