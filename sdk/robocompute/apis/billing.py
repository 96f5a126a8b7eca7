"""What was paid for what: history, invoices, the payment method."""

from __future__ import annotations

from robocompute.apis import Answer, Noun
from robocompute.calls import Amount, Call, decimal_text, get, post, segment

PDF = "application/pdf"


class BillingCalls(Noun[Answer]):
    def get_history(self, start_date: str | None = None, end_date: str | None = None) -> Answer:
        """Of the days from `start_date` to `end_date` (YYYY-MM-DD, both included)."""
        return self._send(get("/billing/history", start_date=start_date, end_date=end_date))

    def get_usage(self, start_date: str | None = None, end_date: str | None = None) -> Answer:
        """What each task used, by the second."""
        return self._send(get("/billing/usage", start_date=start_date, end_date=end_date))

    def list_invoices(self, limit: int | None = None, offset: int | None = None) -> Answer:
        """{invoices: […]}, the newest first."""
        return self._send(get("/billing/invoices", limit=limit, offset=offset))

    def issue_invoices(self, *, idempotency_key: str | None = None) -> Answer:
        """Have everything that stands on no invoice yet put on one now, before the month is over."""
        return self._send(post("/billing/invoices", {}, idempotency_key))

    def get_invoice(self, invoice_id: str) -> Answer:
        return self._send(get(f"/billing/invoices/{segment(invoice_id, 'invoice_id')}"))

    def get_payment_method(self) -> Answer:
        return self._send(get("/billing/payment-method"))

    def set_payment_method(
        self,
        preferred_currency: str = "USDC",
        auto_topup: bool = False,
        topup_threshold: Amount | None = None,
        topup_amount: Amount | None = None,
    ) -> Answer:
        body = {
            "preferred_currency": preferred_currency,
            "auto_topup": auto_topup,
            "topup_threshold": decimal_text(topup_threshold),
            "topup_amount": decimal_text(topup_amount),
        }
        return self._send(post("/billing/payment-method", body))


def invoice_pdf(invoice_id: str) -> Call:
    return get(f"/billing/invoices/{segment(invoice_id, 'invoice_id')}", accept=PDF)
