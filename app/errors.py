"""The one error tree. An error knows its code and whether trying again can help; a dialect renders it."""

from typing import Any


class LightyardError(Exception):
    """Base of everything the hub raises on purpose.

    `code` is stable and machine-readable, the message tells the user what to do, `details` holds facts for programs.
    """

    code = "INTERNAL"
    status = 500
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = details or {}


class InvalidInput(LightyardError):
    code, status = "INVALID_INPUT", 400


class Refused(LightyardError):
    """A sound request that cannot be granted as things are: 400 in every dialect, also where an invalid field is 422."""

    code, status = "REFUSED", 400


class Unauthenticated(LightyardError):
    code, status = "UNAUTHENTICATED", 401


class PaymentRequired(LightyardError):
    code, status = "PAYMENT_REQUIRED", 402


class Forbidden(LightyardError):
    code, status = "FORBIDDEN", 403


class NotFound(LightyardError):
    code, status = "NOT_FOUND", 404


class Conflict(LightyardError):
    code, status = "CONFLICT", 409


class TooLarge(LightyardError):
    code, status = "TOO_LARGE", 413


class RateLimited(LightyardError):
    code, status, retryable = "RATE_LIMITED", 429, True


class Unavailable(LightyardError):
    code, status, retryable = "UNAVAILABLE", 503, True


class ChainUnavailable(Unavailable):
    """The chain did not answer in a way that can be trusted: nothing is known, nothing has failed."""

    code = "CHAIN_UNAVAILABLE"


class ChainUnreadable(ChainUnavailable):
    """A node answered, but not about this one thing: what else is asked of it may well be answered."""


class ConfigError(LightyardError):
    code = "CONFIG"
