"""Headers on every answer: what browsers must not do with it, and which pages elsewhere may read it."""

from flask import Flask, Response, request

from app.config import Settings

SAFETY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # Files of strangers are among the answers: whatever one of them is, in a browser it does nothing.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "no-store",
}
HTTPS_SECONDS = 31_536_000
PREFLIGHT_SECONDS = 600
PUBLIC_ENDPOINTS = ("docs.static",)  # everything else is somebody's own: no cache keeps it
METHODS = "GET, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, X-API-Key, X-Wallet-Signature, X-Timestamp, X-Signature-Version, X-Nonce, "
    "PAYMENT-SIGNATURE, Last-Event-ID, Range, X-Request-Id, traceparent, Upload-Offset, Tus-Resumable"
)
EXPOSED_HEADERS = (
    "Retry-After, Idempotent-Replayed, Content-Disposition, Content-Range, PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-Request-Id, "
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Upload-Offset, Upload-Length, Tus-Resumable"
)
# Their answers set or end the cookie of a sign-in (app/api/cookies.py), which a browser ignores without being told that it may.
COOKIE_PATHS = frozenset({"/rnp/v1/wallet/login", "/api/v1/auth/logout"})


def install(app: Flask, settings: Settings) -> None:
    """Safety headers on everything; CORS for the origins of the settings; preflights answered without reaching a view."""
    origins = frozenset(settings.named_origins)
    app.before_request(lambda: _preflight() if _is_preflight() and _allowed(origins) else None)

    @app.after_request
    def dress(response: Response) -> Response:
        for name, value in SAFETY.items():
            response.headers.setdefault(name, value)
        if request.endpoint not in PUBLIC_ENDPOINTS:
            response.headers["Cache-Control"] = "no-store"
        # Pictures may be shown by pages elsewhere; what is read as data goes by CORS.
        is_data = response.mimetype in ("application/json", "text/html", "text/csv")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin" if is_data else "cross-origin")
        if response.mimetype == "text/html":
            response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={HTTPS_SECONDS}")
        _share(response, origins)
        return response


def _allowed(origins: frozenset[str]) -> str | None:
    """What Access-Control-Allow-Origin says to this request. `null` is anybody's: a sandboxed frame, a file, a redirect."""
    origin = request.headers.get("Origin", "")
    if origin in origins and origin not in ("*", "null"):
        return origin
    return "*" if "*" in origins and origin not in ("", "null") else None


def _share(response: Response, origins: frozenset[str]) -> None:
    if origins:
        response.vary.add("Origin")
    origin = _allowed(origins)
    if origin is None:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    if origin != "*" and request.path in COOKIE_PATHS:
        response.headers["Access-Control-Allow-Credentials"] = "true"


def _is_preflight() -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def _preflight() -> Response:
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = METHODS
    response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response
