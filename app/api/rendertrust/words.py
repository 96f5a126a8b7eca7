"""Our states and purposes in RenderTrust's words: total tables."""

from app.values.purposes import Purpose

SOURCES = {
    Purpose.PURCHASE: "STRIPE",
    Purpose.USAGE: "USAGE",
    Purpose.REFUND: "REFUND",
    Purpose.ADJUSTMENT: "ADJUSTMENT",
    Purpose.EARNING: "EARNING",
}
