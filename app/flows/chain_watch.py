"""Looks how far the chains' RPC nodes are and what the hot wallets have, for the metrics alone: nothing is decided by it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import structlog

from app.core import figures, payout_signings
from app.core.figures import Figure
from app.db import Database
from app.errors import LightyardError
from app.values import clock
from app.values.chain import Head

log = structlog.get_logger()


class Heads(Protocol):
    """A chain whose nodes say how far they are; None for one that does not."""

    def heads(self) -> list[Head | None]: ...


class Wallets(Protocol):
    """A chain with hot wallets on it; `holdings` in minor units by asset. ChainUnavailable: nothing is known."""

    @property
    def name(self) -> str: ...

    def holdings(self, source: str) -> dict[str, int]: ...


class Addresses(Protocol):
    """Whoever holds the keys."""

    def addresses(self) -> dict[str, str]: ...


def look_at_heads(chains: Mapping[str, Heads]) -> Iterator[Figure]:
    """Each chain's newest block, its age, and how far the slowest node is behind. What no node says has no figure."""
    for name, chain in chains.items():
        told = chain.heads()
        found = [head for head in told if head is not None]
        labels = {"chain": name}
        yield Figure("chain_up", float(bool(told) and len(found) == len(told)), labels)
        if found:
            newest = max(found, key=lambda head: head.number)
            yield Figure("chain_head_block", newest.number, labels)
            yield Figure("chain_head_age_seconds", max(0.0, clock.now().timestamp() - newest.unix_time), labels)
            yield Figure("chain_lag_blocks", newest.number - min(head.number for head in found), labels)


def look_at_wallets(database: Database, chains: Sequence[Wallets], signer: Addresses) -> Iterator[Figure]:
    """What the hot wallets have: those of the signer, or, where it is away, those that it had before."""
    try:
        wallets = signer.addresses()
        yield Figure("signer_up", 1)
    except LightyardError as error:
        log.warning("watch.signer_away", error=error.message)
        yield Figure("signer_up", 0)
        with database.read_only() as session:
            wallets = payout_signings.wallets(session)
    for chain in chains:
        if chain.name in wallets:
            yield from _holdings(chain, wallets[chain.name])


def _holdings(chain: Wallets, address: str) -> Iterator[Figure]:
    try:
        found = chain.holdings(address)
    except LightyardError as error:
        log.warning("watch.wallet_unknown", chain=chain.name, error=error.message)
        return
    for asset, minor in found.items():
        yield Figure("hot_wallet_balance", figures.amount(minor, asset), {"chain": chain.name, "asset": asset})
