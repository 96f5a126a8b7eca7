"""A hot wallet's key is changed as docs/payouts-runbook.md says, while a payout of the old one is on its way, on both chains."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.core import audit, payout_reconciliation
from app.db import Database
from app.flows import payouts
from app.values.payouts import CHAINS
from tests.factories.payout_worlds import World, finish, world_of
from tests.factories.payouts import RULES, SignerProcess, all_payouts, all_signings


@pytest.fixture(scope="module", params=CHAINS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world_of(request.param) as found:
        yield found


def replace_key(signer: SignerProcess, chain: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "app.cli", "signer", "replace-key", chain]
    return subprocess.run(command, env={**os.environ, "LIGHTYARD_HOME": str(signer.home)}, capture_output=True, text=True)


@pytest.mark.parametrize("is_lost", [False, True], ids=["landed unseen", "lost"])
def test_payouts_go_on_from_the_new_wallet_and_nothing_is_paid_twice(
    database: Database, world: World, signer: SignerProcess, is_lost: bool
) -> None:
    old = signer.client.addresses()[world.chain]
    world.heal()
    world.prepare(old)
    destinations = [world.owe(database)]
    world.lose(1000 if is_lost else 0)
    payouts.open_due(database, RULES)
    payouts.advance_if_possible(database, world.adapter(), signer.client)
    assert [payout.state for payout in all_payouts(database)] == ["sent"]
    running = replace_key(signer, world.chain)
    assert running.returncode == 1 and "the signer is running" in running.stderr
    signer.kill()
    assert replace_key(signer, world.chain).returncode == 0
    signer.start()
    new = signer.client.addresses()[world.chain]
    assert new != old
    world.heal()
    world.prepare(new)
    destinations.append(world.owe(database))
    if is_lost:
        world.expire()
    finish(database, world, signer)
    first, second = (str(payout.id) for payout in sorted(all_payouts(database), key=lambda payout: payout.number))
    assert world.left(old, {first, second}) == ([] if is_lost else [first])
    assert sorted(world.left(new, {first, second})) == sorted([first, second] if is_lost else [second])
    assert [world.balance(destination) for destination in destinations] == [world.money.minor] * 2
    assert {signing.source for signing in all_signings(database)} == {old, new}
    with database.unit_of_work() as session:
        assert audit.differences(session) == [] and payout_reconciliation.ledger_differences(session) == []
        assert payout_reconciliation.differences(session) == []
