"""How one call goes: signed, sent, judged, tried again. It does no input or output itself, so that the client that waits and the
asynchronous one are the same (`transports`)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import httpx

from robocompute import answers
from robocompute.answers import RateLimit
from robocompute.calls import Call
from robocompute.exceptions import NetworkError
from robocompute.retries import RetryPolicy
from robocompute.signing import Signer

BuildRequest = Callable[..., httpx.Request]


@dataclass(frozen=True, slots=True)
class Pause:
    """To be waited for before the exchange goes on."""

    seconds: float


Step = httpx.Request | Pause
Outcome = httpx.Response | httpx.RequestError | None


@dataclass(slots=True)
class Caller:
    """Who calls, and where."""

    base_url: str
    signer: Signer
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    rate_limit: RateLimit | None = None

    def __post_init__(self) -> None:
        url = httpx.URL(self.base_url)
        if url.scheme not in ("http", "https") or not url.host or url.query:
            raise ValueError(f"base_url {self.base_url!r} is no http(s) address such as https://robocompute.xyz/api/v1")
        self.base_url = self.base_url.rstrip("/")

    @property
    def base_path(self) -> bytes:
        return httpx.URL(self.base_url).raw_path.rstrip(b"/")

    def sign(self, method: str, url: httpx.URL, body: bytes = b"") -> dict[str, str]:
        """The headers of a request to an address below the base URL."""
        target = url.raw_path.removeprefix(self.base_path).decode("ascii")
        return self.signer.headers(method, target, body)


def exchange(caller: Caller, call: Call, build: BuildRequest) -> Generator[Step, Outcome, httpx.Response]:
    """Yields what to send (expecting the response, or the error that came instead) and what to wait for. Returns the response
    that is the call's answer, whatever its status. Raises NetworkError when none came."""
    attempt, is_clock_set = 1, False
    while True:
        outcome = yield _request(caller, call, build)
        if isinstance(outcome, httpx.Response):
            caller.rate_limit = answers.rate_limit(outcome.headers) or caller.rate_limit
            if not is_clock_set and _set_clock(caller.signer, outcome):
                is_clock_set = True
                continue
            pause = caller.policy.after(attempt, outcome, answers.asked_seconds(outcome.headers))
            if pause is None:
                return outcome
        else:
            pause = caller.policy.pause_seconds(attempt)
            if pause is None:
                raise NetworkError(_unheard(call, caller, outcome, attempt)) from outcome
        yield Pause(pause)
        attempt += 1


def _request(caller: Caller, call: Call, build: BuildRequest) -> httpx.Request:
    """Signed anew for each try."""
    headers = {"Accept": call.accept}
    if call.idempotency_key is not None:
        headers["Idempotency-Key"] = call.idempotency_key
    request = build(call.method, caller.base_url + call.path, json=call.body, headers=headers)
    request.headers.update(caller.sign(call.method, request.url, request.content))
    return request


def _set_clock(signer: Signer, response: httpx.Response) -> bool:
    """Whether a signature was refused for this machine's clock, which is set right by it."""
    if response.status_code != 401:
        return False
    said = answers.error_of(401, response.headers, response.content)
    return signer.set_clock(said.details.get("server_time"))


def _unheard(call: Call, caller: Caller, error: object, attempts: int) -> str:
    times = "once" if attempts == 1 else f"{attempts} times"
    return f"{call.method} {caller.base_url}{call.path}: tried {times}, no answer ({type(error).__name__}: {error})"
