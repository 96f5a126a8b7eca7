"""The sweep of payouts: one chain's trouble is not the other's, and without a signer nobody's balance is touched."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from app.stack.valkey import Valkey
from app.wiring import connect_cache
from workers import sweeps


class TwoChains:
    """A hub with two chains and nothing else but its turns."""

    database = signer = payout_rules = None
    payout_chains = (SimpleNamespace(name="solana"), SimpleNamespace(name="ton"))

    def __init__(self, socket: Path, valkey: Valkey) -> None:
        self.settings, self.cache = SimpleNamespace(signer_socket_path=socket), connect_cache(valkey.url)


@pytest.mark.parametrize("has_signer", [True, False])
def test_a_chain_that_breaks_keeps_the_other_s_payouts_going(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, valkey: Valkey, has_signer: bool
) -> None:
    socket, told = tmp_path / "signer.sock", list[str]()
    if has_signer:
        socket.touch()

    def advance(_: object, chain: SimpleNamespace, __: object) -> bool:
        told.append(chain.name)
        raise ValueError("an answer that nobody thought of")

    monkeypatch.setattr(sweeps, "hub", lambda: TwoChains(socket, valkey))
    monkeypatch.setattr(sweeps.payouts, "open_due", lambda *_: told.append("opened") or 0)
    monkeypatch.setattr(sweeps.payouts, "advance_if_possible", advance)
    sweeps.sweep_payouts()
    assert told == (["opened", "solana", "ton"] if has_signer else [])
