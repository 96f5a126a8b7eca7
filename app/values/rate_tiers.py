"""How many requests a minute RoboCompute's API takes from an account."""

FREE, PRO, ENTERPRISE = "free", "pro", "enterprise"
TIERS = (FREE, PRO, ENTERPRISE)
FREE_PER_MINUTE, PRO_PER_MINUTE = 100, 1000
AGREED_MOST = 100_000
"""Each request of the last minute is a list's element in Valkey."""


def per_minute(tier: str, agreed: int | None) -> int:
    """Of a tier; `agreed` is an enterprise's own number, and without one it has what pro has."""
    if tier == ENTERPRISE:
        return agreed or PRO_PER_MINUTE
    return PRO_PER_MINUTE if tier == PRO else FREE_PER_MINUTE
