"""Everything that can go wrong, under `RoboComputeError`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RoboComputeError(Exception):
    """Base of all errors here.

    `code` is the API's stable word for it, `details` its facts, `status` the HTTP status (None where no answer came).
    """

    def __init__(
        self, message: str, code: str = "UNKNOWN_ERROR", details: Mapping[str, Any] | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.status = message, code, status
        self.details: dict[str, Any] = dict(details or {})


class NetworkError(RoboComputeError):
    """No answer came. Whether the API did what was asked is unknown: ask again under the same idempotency key, or look."""

    def __init__(self, message: str, code: str = "NETWORK_ERROR", details: Mapping[str, Any] | None = None,
                 status: int | None = None) -> None:
        super().__init__(message, code, details, status)


class ServerError(RoboComputeError):
    """The API has trouble of its own (5xx), and still had it after every retry."""


class InvalidRequestError(RoboComputeError):
    """A field is wrong (400); the message names it."""


class InvalidResourceRequirementsError(InvalidRequestError):
    """What was asked for cannot be had anywhere."""


class VerificationFailedError(RoboComputeError):
    """A result is not what its hash says."""


class AuthenticationError(RoboComputeError):
    """The key is missing, wrong, over or revoked (401)."""


class WalletSignatureError(AuthenticationError):
    """The wallet's signature is missing, wrong, too old, or was used before."""


class PermissionDeniedError(RoboComputeError):
    """The key may not do this (403)."""

    @property
    def scope(self) -> str | None:
        """The scope that is missing."""
        return self.details.get("scope")


class InsufficientFundsError(RoboComputeError):
    """The balance is too small (402)."""

    @property
    def required(self) -> str | None:
        return self.details.get("required")

    @property
    def available(self) -> str | None:
        return self.details.get("available")

    @property
    def currency(self) -> str | None:
        return self.details.get("currency")


class InsufficientStakeError(RoboComputeError):
    """More has to be staked first."""

    @property
    def required(self) -> str | None:
        return self.details.get("required")

    @property
    def current(self) -> str | None:
        return self.details.get("current")

    @property
    def currency(self) -> str | None:
        return self.details.get("currency")


class NotFoundError(RoboComputeError):
    """There is no such thing, or it is somebody else's (404)."""


class TaskNotFoundError(NotFoundError):
    @property
    def task_id(self) -> str | None:
        return self.details.get("task_id")


class ConflictError(RoboComputeError):
    """It can't be done as things are (409)."""


class TaskAlreadyAcceptedError(ConflictError):
    """Somebody else has the task."""

    @property
    def task_id(self) -> str | None:
        return self.details.get("task_id")


class ResourceUnavailableError(ConflictError):
    @property
    def resource_id(self) -> str | None:
        return self.details.get("resource_id")


class SlashingEventError(ConflictError):
    """A part of the stake is lost."""

    @property
    def amount(self) -> str | None:
        return self.details.get("amount")


class ProviderUnavailableError(RoboComputeError):
    @property
    def provider_id(self) -> str | None:
        return self.details.get("provider_id")


class RateLimitError(RoboComputeError):
    """Too many requests (429): wait `retry_after` seconds."""

    @property
    def retry_after(self) -> int:
        return int(self.details.get("retry_after", 60))


BY_CODE: dict[str, type[RoboComputeError]] = {
    "INSUFFICIENT_FUNDS": InsufficientFundsError,
    "INSUFFICIENT_STAKE": InsufficientStakeError,
    "INVALID_RESOURCE_REQUIREMENTS": InvalidResourceRequirementsError,
    "PROVIDER_UNAVAILABLE": ProviderUnavailableError,
    "RATE_LIMIT_EXCEEDED": RateLimitError,
    "RESOURCE_UNAVAILABLE": ResourceUnavailableError,
    "SLASHING_EVENT": SlashingEventError,
    "TASK_ALREADY_ACCEPTED": TaskAlreadyAcceptedError,
    "TASK_NOT_FOUND": TaskNotFoundError,
    "VERIFICATION_FAILED": VerificationFailedError,
    "WALLET_SIGNATURE_INVALID": WalletSignatureError,
}
BY_STATUS: dict[int, type[RoboComputeError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    402: InsufficientFundsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitError,
}


def kind_of(code: str, status: int | None) -> type[RoboComputeError]:
    """The most telling class: the code's, else the status's."""
    return BY_CODE.get(code) or BY_STATUS.get(status or 0) or (ServerError if (status or 0) >= 500 else RoboComputeError)
