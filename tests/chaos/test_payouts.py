"""Twenty times on each chain: RPC nodes that lag, hang and lie, the payer killed at fail-points and at random moments, a signer
that dies too. At no time may a payout have left twice, and in the end each has left once."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.db import Database
from app.failpoints import FAILPOINTS
from app.values.payouts import CHAINS
from tests.factories.payout_worlds import World, assert_paid_once, finish, world_of
from tests.factories.payouts import SignerProcess, all_payouts, signer_process

ROOT = Path(__file__).parent.parent.parent
POINTS = [name for name in FAILPOINTS if name.startswith("payout.")]
ROUNDS, SWEEPS = 20, 5

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.fixture(params=CHAINS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world_of(request.param) as found:
        yield found


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    with signer_process(tmp_path) as found:
        yield found


def sweep(world: World, database_url: str, signer: SignerProcess, armed: Path, kill_after: float | None) -> None:
    """One sweep of a payer's process, which may be killed while it runs."""
    command = [sys.executable, str(ROOT / "tests" / "flows" / "paying_process.py"), world.chain, database_url]
    environment = {**os.environ, "LIGHTYARD_FAILPOINTS_FOLDER": str(armed), "PYTHONPATH": str(ROOT)}
    command += [str(signer.home / "signer.sock"), *world.urls]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(kill_after if kill_after is not None else 90)
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.wait(10) in (0, -signal.SIGKILL)


def assert_none_twice(database: Database, world: World, signer: SignerProcess, destinations: list[str]) -> None:
    left = world.left(signer.client.addresses()[world.chain], {str(payout.id) for payout in all_payouts(database)})
    assert len(left) == len(set(left)), left
    for destination in destinations:
        assert world.balance(destination) in (0, world.money.minor)


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_payout_leaves_once(
    database: Database, database_url: str, world: World, signer: SignerProcess, tmp_path: Path, turn: int
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    armed = tmp_path / "armed"
    armed.mkdir()
    world.heal()
    world.prepare(signer.client.addresses()[world.chain])
    destinations = [world.owe(database) for _ in range(chance.randint(1, 6))]
    for _ in range(SWEEPS):
        world.trouble(chance.randrange(8))
        point = chance.choice([*POINTS, ""])
        if point:
            (armed / point).touch()
        sweep(world, database_url, signer, armed, chance.choice([None, None, chance.uniform(0.8, 2.5)]))
        if chance.random() < 0.2:
            signer.kill()
            signer.start()
        chance.choice([world.pass_time, world.pass_time, world.expire])()
        world.heal()
        assert_none_twice(database, world, signer, destinations)
    for point in POINTS:
        (armed / point).unlink(missing_ok=True)
    finish(database, world, signer)
    assert_paid_once(database, world, signer, destinations)
