"""Networks that the operator names in the settings."""

import ipaddress

from app.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_networks(text: str) -> list[Network]:
    """TRUSTED_PROXIES: addresses and networks, comma-separated."""
    try:
        return [ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ConfigError(f"TRUSTED_PROXIES must be addresses or networks, comma-separated: {error}") from None
