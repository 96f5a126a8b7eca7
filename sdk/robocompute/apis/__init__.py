"""The API's nouns. Each call is written once: a client that waits gets Documents, an asynchronous one awaitables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from robocompute.calls import Call

Answer = TypeVar("Answer")


class Noun(Generic[Answer]):
    """`send` makes a call and answers what it answered. Raises what `exceptions` has."""

    def __init__(self, send: Callable[[Call], Answer]) -> None:
        self._send = send


class ProvidersNoun(Noun[Answer]):
    """A noun of one provider, below /providers/{provider_id}."""

    def __init__(self, send: Callable[[Call], Answer], prefix: str) -> None:
        super().__init__(send)
        self._prefix = prefix
