"""What every command has: a client or a provider, made when it is asked for, and closed at the end."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Any

import click

from robocompute.client import RoboComputeClient
from robocompute.provider import RoboComputeProvider


class Session:
    """The options before the command."""

    def __init__(
        self, api_key: str | None, keypair: str | None, base_url: str | None, provider_id: str | None, as_json: bool
    ) -> None:
        self._api_key, self._provider_id, self.as_json = api_key, provider_id, as_json
        self._options: dict[str, Any] = {"keypair": keypair, "base_url": base_url}
        self._open = ExitStack()

    @cached_property
    def client(self) -> RoboComputeClient:
        return self._open.enter_context(RoboComputeClient(self._key, **self._options))

    @cached_property
    def provider(self) -> RoboComputeProvider:
        if not self._provider_id:
            raise click.UsageError("whose? Give --provider-id, or set ROBOCOMPUTE_PROVIDER_ID")
        return self._open.enter_context(RoboComputeProvider(self._key, self._provider_id, **self._options))

    @property
    def _key(self) -> str:
        if not self._api_key:
            raise click.UsageError("no API key: set ROBOCOMPUTE_API_KEY, or give --api-key")
        return self._api_key

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()


pass_session = click.make_pass_decorator(Session)
