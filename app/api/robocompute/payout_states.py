"""Where a payout is, in this dialect's words: a total table."""

from app.values.states import PayoutState

WORDS = {
    PayoutState.CREATED: "pending",
    PayoutState.SIGNED: "processing",
    PayoutState.SENT: "processing",
    PayoutState.EXPIRED: "processing",  # it is signed again
    PayoutState.CONFIRMED: "completed",
    PayoutState.CANCELLED: "cancelled",
}
OPEN = tuple(state for state, word in WORDS.items() if word in ("pending", "processing"))
STATUSES = tuple(dict.fromkeys(WORDS.values()))


def word(state: str) -> str:
    return WORDS[PayoutState(state)]
