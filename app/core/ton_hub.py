"""What the hub is on TON: its wallet, and the jettons that count as money."""

from dataclasses import dataclass, field

from app.config import Settings
from app.errors import ConfigError, InvalidInput
from app.values import ton_address
from app.values.money import DECIMALS
from app.values.ton_address import TonAddress


@dataclass(frozen=True, slots=True)
class TonHub:
    """`wallet` is None where the hub takes no payments on TON; `masters` are the allow-listed jettons' assets."""

    wallet: TonAddress | None
    masters: dict[TonAddress, str] = field(default_factory=dict)


def read(settings: Settings) -> TonHub:
    """From the settings; ConfigError for an address that is none, or an asset that nobody knows."""
    return TonHub(read_wallet(settings), read_masters(settings))


def read_wallet(settings: Settings) -> TonAddress | None:
    """TON_WALLET, checked; None for an empty one."""
    text = settings.ton_wallet.strip()
    return _address("TON_WALLET", text, settings) if text else None


def read_masters(settings: Settings) -> dict[TonAddress, str]:
    """TON_JETTON_MASTERS, checked: each master's asset."""
    found: dict[TonAddress, str] = {}
    for part in filter(None, (part.strip() for part in settings.ton_jetton_masters.split(","))):
        address, _, asset = part.rpartition(":")
        if asset not in DECIMALS or asset == "TON":
            raise ConfigError(f"TON_JETTON_MASTERS must be `master address:asset`, comma-separated, not {part!r}")
        found[_address("TON_JETTON_MASTERS", address, settings)] = asset
    return found


def _address(name: str, text: str, settings: Settings) -> TonAddress:
    try:
        return ton_address.read(text, settings.ton_network)
    except InvalidInput as error:
        raise ConfigError(f"{name}: {error.message}") from None
