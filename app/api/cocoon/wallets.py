"""TON addresses of the dialect: read in any form, shown in the one that wallets show."""

from collections.abc import Callable
from functools import lru_cache, partial

from app.api.context import hub
from app.values import ton_address
from app.values.ton_address import TESTNET


def read(text: object) -> str:
    """The raw address; InvalidInput says what is wrong with it."""
    return ton_address.read(text, hub().settings.ton_network).raw


def shown(raw: str | None) -> str | None:
    """Non-bounceable, as the seed shows wallets."""
    return writer()(raw)


def writer() -> Callable[[str | None], str | None]:
    """`shown` for a stream, which outlives its request."""
    return partial(_shown, hub().settings.ton_network == TESTNET)


def _shown(test_only: bool, raw: str | None) -> str | None:
    return None if raw is None else _friendly(raw, test_only)


@lru_cache(maxsize=4096)  # the same few wallets in every row, and a checksum in each
def _friendly(raw: str, test_only: bool) -> str:
    return ton_address.read(raw).friendly(bounceable=False, test_only=test_only)
