"""RoboCompute's words for a deposit: one total function of what is known of it."""

PENDING, CONFIRMED, CREDITED, EXPIRED = STATUSES = ("pending", "confirmed", "credited", "expired")


def word(is_confirmed: bool, has_received: bool, is_expired: bool) -> str:
    """confirmed: paid as it was asked for. credited: something came, short or late, and is on the balance; it may still be paid
    in full. pending and expired: nothing came yet; what comes after the expiry is credited all the same."""
    if is_confirmed:
        return CONFIRMED
    if has_received:
        return CREDITED
    return EXPIRED if is_expired else PENDING
