"""The local EVM chain: pinned without a registry's name, started over any state, and with money where the hub signs."""

import json
from pathlib import Path

from app.adapters.chains.evm import EvmGateway
from app.config import DEVELOPMENT_ANCHOR_KEY
from devnet.evm import program
from tests.factories.evm_chains import any_chain


def test_the_lock_files_are_whole_and_name_no_registry() -> None:
    lock = json.loads((program.FOLDER / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages and all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())
    lines = (program.FOLDER / "requirements.lock").read_text().splitlines()
    assert "--hash=sha256:" in lines[1] and not [line for line in lines if "://" in line or line.startswith("-")]


def test_a_state_that_was_cut_short_is_put_aside(tmp_path: Path) -> None:
    home = tmp_path / "evm"
    program.prepare(home)
    assert home.is_dir()
    (home / "state.json").write_text('{"block": ')
    program.prepare(home)
    assert not (home / "state.json").exists() and (home / "state.broken.json").exists()
    (home / "state.json").write_text("{}")
    program.prepare(home)
    assert (home / "state.json").read_text() == "{}"


def test_the_hubs_development_key_has_money_there() -> None:
    with any_chain() as chain:
        sender = EvmGateway((chain.url,), 10, DEVELOPMENT_ANCHOR_KEY).sender
        assert int(chain.rpc("eth_getBalance", sender, "latest"), 16) > 10**18
        assert "error" in chain.ask("no_such_method")
