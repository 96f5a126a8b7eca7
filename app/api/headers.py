"""Headers on every answer: what browsers must not do with it, and which pages elsewhere may read it."""

from flask import Flask, Response, request

from app.config import Settings

SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-API-Key, X-Wallet-Signature, X-Timestamp"
EXPOSED_HEADERS = "Retry-After, Idempotent-Replayed, Content-Disposition, PAYMENT-REQUIRED"


def install(app: Flask, settings: Settings) -> None:
    """Safety headers on everything; CORS for the origins of the settings; preflights answered without reaching a view."""
    origins = {part.strip().rstrip("/") for part in settings.cors_origins.split(",") if part.strip()}

    def allowed() -> str | None:
        origin = request.headers.get("Origin", "")
        return origin if origin and ("*" in origins or origin in origins) else None

    @app.before_request
    def preflight() -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers or not allowed():
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
        response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        response.headers["Access-Control-Max-Age"] = "600"
        return response

    @app.after_request
    def dress(response: Response) -> Response:
        for name, value in SAFETY.items():
            response.headers.setdefault(name, value)
        if response.mimetype == "application/json":
            response.headers.setdefault("Cache-Control", "no-store")
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        if origins:
            response.vary.add("Origin")
        origin = allowed()
        if origin:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        return response
