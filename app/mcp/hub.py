"""A hub as its clients see it: RNP-019 over HTTP, with an API key."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from app.errors import InvalidInput, LightyardError, Unavailable

PREFIX = "/rnp/v1"
TIMEOUT = httpx.Timeout(20.0, connect=10.0)
TRYING_SECONDS = 20.0  # no other try after so long: with the last one a call stays below a minute
PAUSES_SECONDS = (0.25, 1.0, 2.0)
LONGEST_PAUSE_SECONDS = 5.0  # a hub that asks for more is told of, and not waited for
PASSING = frozenset({429, 500, 502, 503, 504})
IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
TOLD_LIMIT_CHARS = 2000
FACTS_LIMIT_CHARS = 300
UNTOLD = "HTTP_"  # begins the code of an answer that is not in the hub's words
DECIDED = frozenset({400, 402, 404, 409})  # what the hub says of an order once it knows that it has not taken it before


class HubRefused(LightyardError):
    """What the hub said no to, in its own words; nothing was changed there."""


class Unclear(Unavailable):
    """Nobody answered, or not with a yes or a no: what the hub has done is not known."""

    code = "HUB_AWAY"


class Hub:
    """Asks, and asks again where that is harmless: all that is asked here is, an order by its key."""

    def __init__(self, url: str, key: str, transport: httpx.BaseTransport | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise InvalidInput("this is no hub's address: give one such as https://hub.example")
        self.url = url.rstrip("/")
        # Redirects are not followed: the key goes to this hub and nowhere else.
        self._http = httpx.Client(timeout=TIMEOUT, headers={"Authorization": f"Bearer {key}"}, transport=transport)
        self._uploads = httpx.Client(timeout=TIMEOUT, transport=transport)

    def ask(
        self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None, order_key: str | None = None,
        seconds: float = TRYING_SECONDS,
    ) -> dict[str, Any]:  # fmt: skip
        """The answer to a request below /rnp/v1. HubRefused in the hub's words, Unclear where nobody answered.

        After so many `seconds` there is no other try; the last one may take as long again."""
        headers = {"Idempotency-Key": order_key} if order_key else {}
        timeout = TIMEOUT if seconds >= TRYING_SECONDS else httpx.Timeout(seconds)
        url = self.url + PREFIX + path
        request = self._http.build_request(method, url, json=body, params=query, headers=headers, timeout=timeout)
        response, is_first = self._answered(request, seconds)
        if response.is_success:
            return _object(response)
        refusal = told(response)
        if not is_first and not _is_decided(response, refusal):
            raise Unclear(f"{refusal.message}; an earlier try may have arrived", code=refusal.code)
        raise refusal

    def _answered(self, request: httpx.Request, seconds: float) -> tuple[httpx.Response, bool]:
        """The last answer, and whether none of the tries before it may have done something."""
        until, is_first = time.monotonic() + seconds, True
        for pause in (*PAUSES_SECONDS, None):
            pause = pause if time.monotonic() < until else None
            try:
                response = self._http.send(request)
            except httpx.RequestError as error:
                is_first = False
                if pause is None:
                    raise self.away(error) from error
            else:
                wait = _asked_pause(response, pause)
                if wait is None or not _is_passing(response):
                    return response, is_first
                is_first, pause = is_first and response.status_code == 429, wait
            time.sleep(pause)
        raise AssertionError("the last try answers or raises")

    @contextmanager
    def reading(self, path: str, known: str | None = None, part: tuple[str, int] | None = None) -> Iterator[httpx.Response]:
        """A file as it comes: 200; 304 where its sha256 is the `known` one; 206, what comes after the bytes that are there of a
        `part` (the whole's sha256, and how many)."""
        headers = {"Accept-Encoding": "identity"}
        if known:
            headers["If-None-Match"] = f'"{known}"'
        if part is not None:
            headers |= {"If-Range": f'"{part[0]}"', "Range": f"bytes={part[1]}-"}
        has_begun = False
        try:
            with self._http.stream("GET", self.url + PREFIX + path, headers=headers) as response:
                if response.status_code not in (200, 206, 304):
                    response.read()
                    raise told(response)
                has_begun = True
                yield response
        except httpx.RequestError as error:
            if has_begun:
                message = f"what {self.url} sent broke off ({type(error).__name__}: {error}): call download again"
                raise Unclear(message, code="BROKEN_OFF") from error
            raise self.away(error) from error

    def place(self, method: str, url: str, content: bytes = b"", headers: Mapping[str, str] | None = None) -> httpx.Response:
        """To an address that the hub signed: the key does not go there. One try; httpx.RequestError where nobody answers."""
        return self._uploads.request(method, url, content=content, headers=headers)

    def away(self, error: httpx.RequestError) -> Unclear:
        return Unclear(f"the hub at {self.url} did not answer ({type(error).__name__}: {error}); is it running, is --url right?")

    def close(self) -> None:
        self._http.close()
        self._uploads.close()


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Unclear(f"what answered (HTTP {response.status_code}) is no hub of Lightyard's; is --url right?", code="NO_HUB")
    return body


def _is_decided(response: httpx.Response, refusal: LightyardError) -> bool:
    """Whether a refusal says that earlier tries were not taken either: not one by a limit, a key that is over, or a proxy."""
    return response.status_code in DECIDED and not refusal.code.startswith(UNTOLD)


def told(response: httpx.Response) -> LightyardError:
    """What the hub said, for whoever reads the tool's answer: its code, what to do, its facts. HubRefused where it is a no."""
    try:
        error = response.json()["error"]
        code, message, details = str(error["code"]), str(error["message"]), error.get("details")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message, details = f"{UNTOLD}{response.status_code}", "the hub, or a proxy before it, did not say why", None
    facts = details if isinstance(details, dict) else {}
    words = f"{message} (HTTP {response.status_code}{_facts(facts)})"
    is_unclear = response.status_code >= 500 or code == IN_PROGRESS
    return (Unclear if is_unclear else HubRefused)(words[:TOLD_LIMIT_CHARS], code=code, details=facts)


def _facts(details: Mapping[str, Any]) -> str:
    return "".join(f"; {name}: {value}" for name, value in details.items())[:FACTS_LIMIT_CHARS]


def _is_passing(response: httpx.Response) -> bool:
    return response.status_code in PASSING or (response.status_code == 409 and "Retry-After" in response.headers)


def _asked_pause(response: httpx.Response, usual: float | None) -> float | None:
    """Before the next try: as long as the hub asks for, where that is not too long; None for no other try."""
    asked = response.headers.get("Retry-After", "")
    if usual is None or not asked.isdigit():
        return usual
    return float(asked) if int(asked) <= LONGEST_PAUSE_SECONDS else None
