"""RenderTrust: is it alive, is it ready, which version is it."""

from typing import Any

from flask import current_app
from flask_smorest import Blueprint

from app import __version__
from app.api.context import hub
from app.api.readiness import Check
from app.api.rendertrust.schemas import system as schemas
from app.core import figures
from app.wiring import Hub

blueprint = Blueprint("rendertrust_system", __name__, description="Health and version")
CHECK_SECONDS = 2


@blueprint.get("/version")
@blueprint.response(200, schemas.VersionSchema)
def version() -> dict[str, Any]:
    """Name, version and environment."""
    return {"name": "lightyard", "version": __version__, "environment": hub().settings.lightyard_env}


@blueprint.get("/api/v1/health")
@blueprint.response(200, schemas.HealthSchema)
def health() -> dict[str, Any]:
    """Liveness."""
    return {"status": "healthy"}


@blueprint.get("/api/v1/health/ready")
@blueprint.response(200, schemas.ReadinessSchema)
def ready() -> dict[str, Any]:
    """Readiness: PostgreSQL and Valkey are asked. Degraded is an answer, too, and still 200."""
    checks = {
        name: schemas.CONNECTED if check.is_answered(CHECK_SECONDS) else schemas.UNAVAILABLE
        for name, check in _checks().items()
    }
    is_ready = all(found == schemas.CONNECTED for found in checks.values())
    return {"status": "ready" if is_ready else "degraded", "checks": checks}


def _checks() -> dict[str, Check]:
    """One set per app, so that probes never pile up on a part that hangs."""
    return current_app.extensions.setdefault("readiness", _make_checks(hub()))  # type: ignore[no-any-return]


def _make_checks(parts: Hub) -> dict[str, Check]:
    def ask_database() -> None:
        with parts.database.read_only() as session:
            figures.ping(session)

    return {"database": Check("database", ask_database), "redis": Check("redis", parts.cache.ping)}
