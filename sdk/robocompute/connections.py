"""What every client is made of: a key, a wallet, an address, and a transport that is closed with it."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

import httpx

from robocompute import keypairs
from robocompute.answers import RateLimit
from robocompute.exchanges import Caller
from robocompute.keypairs import Source
from robocompute.retries import RetryPolicy
from robocompute.signing import Signer
from robocompute.transports import TIMEOUT_SECONDS, AsyncTransport, Transport

BASE_URL = "https://robocompute.xyz/api/v1"
Itself = TypeVar("Itself", bound="Connection")
AsyncItself = TypeVar("AsyncItself", bound="AsyncConnection")


def _caller(
    api_key: str, wallet_address: str | None, keypair: Source | None, base_url: str | None, retries: RetryPolicy | None
) -> Caller:
    found = None if keypair is None else keypairs.read(keypair)
    if found is not None and wallet_address not in (None, found.address):
        raise ValueError(f"keypair is of the wallet {found.address}, not of wallet_address {wallet_address}")
    return Caller(base_url or BASE_URL, Signer(api_key, found), retries or RetryPolicy())


class Connection:
    """`keypair` is a base58 secret, a Solana CLI file or solders' Keypair; keys that begin with rc_ need it. `wallet_address` is
    only held against it. `base_url` includes /api/v1. `retries=retries.NEVER` tries everything once. `http` is an httpx.Client of
    one's own, for proxies and certificates; it is then not closed here."""

    def __init__(
        self,
        api_key: str,
        wallet_address: str | None = None,
        *,
        keypair: Source | None = None,
        base_url: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: RetryPolicy | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        caller = _caller(api_key, wallet_address, keypair, base_url, retries)
        self._is_owner = http is None
        self.transport = Transport(caller, http or httpx.Client(timeout=timeout_seconds))

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the last answer said of the account's requests per minute."""
        return self.transport.caller.rate_limit

    def close(self) -> None:
        """Close the connections."""
        if self._is_owner:
            self.transport.http.close()

    def __enter__(self: Itself) -> Itself:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class AsyncConnection:
    """As `Connection`, for asyncio; `http` is an httpx.AsyncClient."""

    def __init__(
        self,
        api_key: str,
        wallet_address: str | None = None,
        *,
        keypair: Source | None = None,
        base_url: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: RetryPolicy | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        caller = _caller(api_key, wallet_address, keypair, base_url, retries)
        self._is_owner = http is None
        self.transport = AsyncTransport(caller, http or httpx.AsyncClient(timeout=timeout_seconds))

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the last answer said of the account's requests per minute."""
        return self.transport.caller.rate_limit

    async def close(self) -> None:
        """Close the connections."""
        if self._is_owner:
            await self.transport.http.aclose()

    async def __aenter__(self: AsyncItself) -> AsyncItself:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
