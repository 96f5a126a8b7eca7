"""What left a hot wallet, as a transaction shows it: strangers can't make it look as if something had."""

import uuid

from solders.keypair import Keypair

from app.values import solana_payouts
from app.values.payouts import Order, Part, Terms
from app.values.solana_payouts import Shown
from tests.factories.payouts import LOCAL_MINTS

TERMS = Terms(blockhash=str(Keypair().pubkey()), slot=1, expires_at_height=150)
KEY = Keypair()
WALLET, STRANGER, TOKEN = str(KEY.pubkey()), str(Keypair().pubkey()), str(Keypair().pubkey())


def signed(key: Keypair, to: str, minor: int) -> bytes:
    return solana_payouts.sign(key, [Order(uuid.uuid4(), "SOL", minor, to)], TERMS, LOCAL_MINTS).raw


def test_a_token_of_a_stranger_s_own_that_he_takes_back_is_none_of_our_money() -> None:
    """A token whose maker may move it out of anybody's account, as Token-2022 allows, is given and taken away again."""
    shown = Shown(signed(Keypair(), STRANGER, 5), 5000, {}, {(WALLET, TOKEN): -100}, {})
    assert solana_payouts.parts(shown, WALLET, LOCAL_MINTS) is None


def test_a_token_that_is_money_here_and_left_is_told() -> None:
    mint = LOCAL_MINTS["USDC"]
    shown = Shown(signed(Keypair(), STRANGER, 5), 5000, {}, {(WALLET, mint): -100}, {})
    assert solana_payouts.parts(shown, WALLET, LOCAL_MINTS) == ((), f"100 of {mint} beside what it names")


def test_a_payout_names_its_payer_and_what_it_pays() -> None:
    raw = signed(KEY, STRANGER, 7)
    assert solana_payouts.payer_of(raw) == WALLET
    found = solana_payouts.parts(Shown(raw, 5000, {WALLET: -5007, STRANGER: 7}, {}, {}), WALLET, LOCAL_MINTS)
    assert found is not None and found[1] is None
    (part,) = found[0]
    assert isinstance(part, Part) and (part.destination, part.asset, part.amount_minor) == (STRANGER, "SOL", 7)
