"""How rows look in Rayment: field names, milliseconds, numbers that are never written as 1e-05."""

from decimal import Decimal
from typing import Any

import simplejson
from flask import Response

from app.core import inspections
from app.models.jobs import Job, Scene
from app.models.nodes import Provider
from app.models.payments import ChainTransaction, Payment, Refund
from app.values.clock import to_milliseconds
from app.values.money import Money
from app.values.plain_numbers import number, written_out
from app.values.states import JobState, PaymentState

SHOWN_PLACES = Decimal("1e-12")


def answer(body: dict[str, Any], status: int = 200) -> Response:
    """A JSON answer whose decimals are exact numbers."""
    return Response(simplejson.dumps(body, use_decimal=True), status, mimetype="application/json")


def success(data: Any, status: int = 200) -> Response:
    return answer({"success": True, "data": data}, status)


def status_word(job_state: str, payment_state: str, is_started: bool) -> str:
    """Rayment's seven words, as one total function of our states (`paid` is an event here, never a resting place)."""
    ended = {JobState.COMPLETED: "completed", JobState.FAILED: "failed", JobState.CANCELLED: "cancelled"}
    if job_state in ended:
        return ended[JobState(job_state)]
    if payment_state in (PaymentState.NONE, PaymentState.PENDING):
        return "pending_payment"
    return "rendering" if is_started else "queued"


def pricing(provider: Provider) -> dict[str, Any]:
    return {
        "pricePerFrame": number(provider.price_per_frame),
        "pricePerSecond": number(provider.price_per_second),
        "pricePerGb": number(provider.price_per_gb),
        "minimumPrice": number(provider.minimum_price),
        "currency": provider.currency,
    }


def provider_body(provider: Provider) -> dict[str, Any]:
    return {
        "id": str(provider.id),
        "name": provider.name,
        "wallet": provider.wallet,
        "endpoint": provider.endpoint,
        "spec": written_out(provider.spec),
        "pricing": pricing(provider),
        "status": provider.status,
        "rating": number(provider.rating),
        "completedJobs": provider.completed_jobs,
        "registeredAt": to_milliseconds(provider.registered_at),
        "lastSeen": to_milliseconds(provider.last_seen_at),
    }


def breakdown(job: Job) -> dict[str, Any]:
    """The parts of the price, to twelve places; only the total is what is paid."""
    names = {
        "basePrice": "base_price",
        "fileSizeFee": "file_size_fee",
        "frameFee": "frame_fee",
        "estimatedRenderFee": "render_fee",
        "platformFee": "platform_fee",
        "total": "total",
    }
    return {name: number(Decimal(job.breakdown[part]).quantize(SHOWN_PLACES)) for name, part in names.items()}


def quote_body(job: Job, payment: Payment, scene: Scene) -> dict[str, Any]:
    """The 402's body."""
    return {
        "success": False,
        "error": "Payment Required",
        "payment": {
            "jobId": str(job.id),
            "price": number(job.breakdown["total"]),
            "breakdown": breakdown(job),
            "payTo": payment.pay_to,
            "expiresAt": to_milliseconds(payment.expires_at),
            "memo": payment.memo,
            "warnings": inspections.warnings_of(scene),
        },
    }


def settings_body(job: Job) -> dict[str, Any]:
    """What was ordered. A job of another dialect may leave it to its scene, or be no picture at all: null."""
    settings = job.settings
    frames = settings["frame_list"] or [None]
    return {
        "resolution": {"width": settings.get("width"), "height": settings.get("height")},
        "frames": {"start": frames[0], "end": frames[-1]},
        "engine": settings.get("engine"),
        "samples": settings.get("samples"),
        "outputFormat": settings.get("output_format"),
    }


def _file_body(job: Job, scene: Scene | None) -> dict[str, Any]:
    """The scene, or what another dialect's job works on, where that lies with us."""
    if scene is not None:
        return {"fileName": scene.file_name, "fileSize": scene.size_bytes, "fileHash": scene.sha256}
    known = job.settings
    return {
        "fileName": known.get("payload_name") or known.get("payload_ref", ""),
        "fileSize": known.get("payload_size_bytes", 0),
        "fileHash": known.get("payload_sha256", ""),
    }


def refund_body(refund: Refund) -> dict[str, Any]:
    amount = Money(refund.amount_minor, refund.asset).decimal
    return {"amount": number(amount), "currency": refund.asset, "reason": refund.reason, "status": refund.status}


def job_body(
    job: Job, scene: Scene | None, payment: Payment | None, shown: list[ChainTransaction], refunds: list[Refund], progress: float
) -> dict[str, Any]:
    """GET /render/:jobId; optional fields are there once they have a value."""
    pending = any(item.state == "pending" for item in shown)
    paid = job.payment_state in (PaymentState.CONFIRMED, PaymentState.REFUNDED)
    total = number(job.breakdown["total"])
    body: dict[str, Any] = {
        "id": str(job.id),
        "clientWallet": job.client_wallet or "",
        "providerId": str(job.provider_id or ""),
        "status": status_word(job.state, job.payment_state, job.started_at is not None),
        **_file_body(job, scene),
        "settings": settings_body(job),
        "estimatedPrice": total,
        "paymentStatus": "confirmed" if paid else "confirming" if pending else "pending",
        "createdAt": to_milliseconds(job.created_at),
        "framesTotal": job.units_total,
        "framesCompleted": job.units_completed,
        "progress": number(str(round(progress, 3))),
        "warnings": inspections.warnings_of(scene) if scene else [],
        "transactions": [
            {"txSignature": item.signature, "status": item.state, "code": item.code, "message": item.message}
            for item in shown
        ],
        "refunds": [refund_body(refund) for refund in refunds],
    }
    optional = {
        "paymentTx": payment.tx_signature if payment else None,
        "startedAt": to_milliseconds(job.started_at),
        "completedAt": to_milliseconds(job.ended_at),
        "finalPrice": total if job.state == JobState.COMPLETED else None,
        "renderTime": number(str(round(job.render_seconds, 3))) if job.state == JobState.COMPLETED else None,
        "resultUrl": f"/render/{job.id}/result" if job.state == JobState.COMPLETED else None,
        "error": job.error_message,
        "refund": refund_body(refunds[0]) if refunds else None,
    }
    return body | {name: value for name, value in optional.items() if value is not None}
