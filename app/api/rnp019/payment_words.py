"""The dialect's words for a payment to the hub: one total function of what is known of it."""

PENDING, CONFIRMED, CREDITED, EXPIRED = WORDS = ("pending", "confirmed", "credited", "expired")
# Of one transaction; what is no payment as it was asked for, and is on the balance all the same, reads "credited" here.
TRANSACTION_WORDS = {"pending": PENDING, "accepted": "accepted", "refundable": CREDITED, "refused": "refused"}


def word(is_confirmed: bool, has_received: bool, is_expired: bool) -> str:
    """confirmed: paid as it was asked for. credited: something came, short or late, and is on the balance. pending and expired:
    nothing came yet; what comes after the expiry is credited all the same."""
    if is_confirmed:
        return CONFIRMED
    if has_received:
        return CREDITED
    return EXPIRED if is_expired else PENDING
