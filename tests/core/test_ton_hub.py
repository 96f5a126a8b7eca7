"""What the settings say of the hub on TON: read strictly, for a wrong address would be paid."""

import pytest

from app.config import Settings
from app.core import ton_hub
from app.errors import ConfigError
from app.values.ton_address import TonAddress
from app.wiring import malformed

WALLET, USDT, OTHER = (TonAddress(0, bytes([number]) * 32) for number in (1, 2, 3))


def test_the_wallet_and_the_masters_are_read_in_every_form() -> None:
    masters = f" {USDT.friendly()}:USDT, {OTHER.raw}:USDC ,"
    found = ton_hub.read(Settings(ton_wallet=f" {WALLET.friendly(bounceable=False)} ", ton_jetton_masters=masters))
    assert (found.wallet, found.masters) == (WALLET, {USDT: "USDT", OTHER: "USDC"})
    assert ton_hub.read(Settings()) == ton_hub.TonHub(None, {})
    assert ton_hub.read_wallet(Settings(ton_wallet=WALLET.friendly(test_only=True), ton_network="testnet")) == WALLET


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("TON_WALLET", {"ton_wallet": WALLET.friendly()[:-1] + "!"}),
        ("TON_WALLET", {"ton_wallet": WALLET.friendly(test_only=True)}),
        ("TON_JETTON_MASTERS", {"ton_jetton_masters": USDT.friendly()}),
        ("TON_JETTON_MASTERS", {"ton_jetton_masters": f"{USDT.friendly()}:TON"}),
        ("TON_JETTON_MASTERS", {"ton_jetton_masters": f"{USDT.friendly()}:DOGE"}),
        ("TON_JETTON_MASTERS", {"ton_jetton_masters": "0:abcd:USDT"}),
        ("TON_CONFIG", {"ton_config": "no such file"}),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, settings: dict[str, str]) -> None:
    problems = malformed(Settings(**settings))  # type: ignore[arg-type]
    assert list(problems) == [name] and problems[name].startswith(name)
    if name != "TON_CONFIG":
        with pytest.raises(ConfigError, match=name):
            ton_hub.read(Settings(**settings))  # type: ignore[arg-type]
