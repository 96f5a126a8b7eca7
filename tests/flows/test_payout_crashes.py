"""kill -9 of whoever pays, at every fail-point, on both chains: at most once at any time, and in the end exactly once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.db import Database
from app.failpoints import FAILPOINTS
from app.values.payouts import CHAINS
from tests.factories.payout_worlds import World, assert_paid_once, finish, world_of
from tests.factories.payouts import SignerProcess, all_signings

ROOT = Path(__file__).parent.parent.parent
POINTS = [name for name in FAILPOINTS if name.startswith(("payout.", "signer."))]
LATER = ("payout.landed", "payout.booking", "payout.adopting")


@pytest.fixture(scope="module", params=CHAINS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world_of(request.param) as found:
        yield found


def sweep(world: World, database_url: str, signer: SignerProcess, armed: Path) -> int:
    """One sweep of a payer's process; its exit status."""
    command = [sys.executable, str(ROOT / "tests" / "flows" / "paying_process.py"), world.chain, database_url]
    environment = {**os.environ, "LIGHTYARD_FAILPOINTS_FOLDER": str(armed), "PYTHONPATH": str(ROOT)}
    return subprocess.run([*command, str(signer.home / "signer.sock"), *world.urls], env=environment, timeout=90).returncode


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at(
    database: Database, database_url: str, world: World, signer: SignerProcess, tmp_path: Path, point: str
) -> None:
    armed = tmp_path / "armed"
    armed.mkdir()
    world.heal()
    world.prepare(signer.client.addresses()[world.chain])
    destinations = [world.owe(database) for _ in range(2)]
    if point == "payout.opening":
        destinations.append(world.earn(database))
    if point == "payout.expired":
        world.lose(1000)
    if point in LATER or point == "payout.expired":
        assert sweep(world, database_url, signer, armed) == 0
        world.pass_time()
    if point == "payout.expired":
        world.expire()
        world.heal()
    if point == "payout.adopting":
        assert sweep(world, database_url, signer, armed) == 0
        destinations.append(world.owe(database))
        forget_what_was_read(database)
    (armed / point).touch()
    if point == "signer.noted":
        signer.kill()
        signer.start(LIGHTYARD_FAILPOINTS_FOLDER=str(armed))
        assert sweep(world, database_url, signer, armed) == 0, "a signer that is away is no crash"
        assert signer.process is not None and signer.process.wait(20) == -signal.SIGKILL
        signer.start()
    else:
        assert sweep(world, database_url, signer, armed) == -signal.SIGKILL
    assert not (armed / point).exists()
    assert len(all_signings(database)) == {"payout.opening": 0, "payout.signed": 0, "signer.noted": 0}.get(point, 1)
    finish(database, world, signer)
    assert_paid_once(database, world, signer, destinations)
    assert len(all_signings(database)) == {"payout.expired": 2, "payout.adopting": 2}.get(point, 1)


def forget_what_was_read(database: Database) -> None:
    """The wallet's history is read from its beginning again, so that a known transaction is met once more."""
    with database.unit_of_work() as session:
        session.execute(text("UPDATE payout_wallets SET cursor = NULL"))
