"""RoboCompute's words for what moved on a balance: one total function of where it came from, or went."""

ADJUSTMENT = "adjustment"
# By whether it came or left, the ledger's kind of account at the other end, and whether that is the same owner's.
_WORDS = {
    (True, "chain", False): "deposit",
    (True, "unclaimed", False): "deposit",
    (True, "held", True): "release",
    (True, "held", False): "earning",
    (True, "pool", False): "earning",
    (True, "stake", True): "unstake",
    (True, "unstaking", True): "unstake",
    (True, "payout", True): "payout_returned",
    (True, "owed", True): "refund",
    (True, "balance", False): "refund",
    (True, "stake", False): "refund",
    (True, "issued", False): "grant",
    (True, "fees", False): "fee_returned",
    (False, "held", True): "hold",
    (False, "payout", True): "payout",
    (False, "stake", True): "stake",
    (False, "debt", True): "debt_paid",
    (False, "balance", False): "refund_paid",
    (False, "fees", False): "fee",
    (False, "chain", False): "withdrawal",
    **{(is_credit, "exchange", False): "exchange" for is_credit in (True, False)},
}
WORDS = tuple(sorted({ADJUSTMENT, *_WORDS.values()}))


def word(is_credit: bool, counterpart: str, is_own: bool) -> str:
    """hold and release are what is set aside for a task and what of it was not used: the difference is what the task cost."""
    return _WORDS.get((is_credit, counterpart, is_own), ADJUSTMENT)
