"""Payments as the dialect shows them: of jobs, and of top-ups."""

from typing import Any

from app.api import moments
from app.api.rnp019 import payment_words
from app.core.deposit_records import DepositView
from app.models.payments import ChainTransaction
from app.values.money import Money


def shown(item: DepositView) -> dict[str, Any]:
    """Where to pay what, and what came of it."""
    payment = item.payment
    return {
        "id": payment.id,
        "job_id": payment.job_id,
        "status": payment_words.word(item.is_confirmed, item.received.minor > 0, item.is_expired),
        "asset": payment.asset,
        "amount": item.amount,
        "received": item.received,
        "chain": payment.chain,
        "pay_to": payment.pay_to,
        "mint": payment.mint,
        "memo": payment.memo,
        "created_at": moments.written(payment.created_at),
        "expires_at": moments.written(payment.expires_at),
        "confirmed_at": payment.confirmed_at and moments.written(payment.confirmed_at),
        "tx_signature": payment.tx_signature,
        "transactions": [_transaction(each, payment.asset) for each in item.transactions],
    }


def _transaction(each: ChainTransaction, asset: str) -> dict[str, Any]:
    return {
        "tx_signature": each.signature,
        "status": payment_words.TRANSACTION_WORDS[each.state],
        "code": each.code,
        "message": each.message,
        "amount": Money(each.received_minor, asset),
        "payer": each.payer,
        "seen_at": moments.written(each.created_at),
    }
