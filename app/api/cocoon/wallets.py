"""TON addresses of the dialect: read in any form, shown in the one that wallets show."""

from app.api.context import hub
from app.values import ton_address
from app.values.ton_address import TESTNET


def read(text: object) -> str:
    """The raw address; InvalidInput says what is wrong with it."""
    return ton_address.read(text, hub().settings.ton_network).raw


def shown(raw: str | None) -> str | None:
    """Non-bounceable, as the seed shows wallets; what is no address of TON (a payout on another chain has one) as it is."""
    if raw is None:
        return None
    return ton_address.read(raw).friendly(bounceable=False, test_only=hub().settings.ton_network == TESTNET)
