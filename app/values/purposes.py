"""What a movement of money was for, as its owner is told it."""

from enum import StrEnum


class Purpose(StrEnum):
    PURCHASE = "purchase"
    USAGE = "usage"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"
    EARNING = "earning"
