"""Jobs as the dialect shows them to their owners."""

from datetime import datetime
from typing import Any

from app.api import moments
from app.api.rnp019 import job_words
from app.core import inspections
from app.core.account_jobs import AccountJob
from app.models.jobs import Job
from app.models.render_orders import RenderOrder
from app.values import render_settings
from app.values.frame_counts import frames_done
from app.values.frames import FrameSet
from app.values.money import Money

PICTURE = ("width", "height", "samples", "quality", "engine", "camera", "denoise", "adaptive_sampling")


def shown(found: AccountJob) -> dict[str, Any]:
    """A job of any dialect; what only renders of this one have is null for others."""
    job = found.job
    frames = job.settings.get("frame_list") or []
    total = len(frames) or job.units_total
    return {
        "id": job.id,
        "name": job.name,
        "api": job.dialect,
        "status": job_words.word(*found.states),
        "reason": _reason(job),
        "scene_id": job.scene_id,
        "frames": FrameSet(tuple(frames)).text if frames else "",
        "frames_total": total,
        "frames_completed": frames_done(job.units_completed, job.units_total, total),
        "progress": round(job.units_completed / job.units_total, 4),
        "settings": _settings(job),
        "current_cost": found.cost,
        "asset": job.asset,
        "estimated_cost": Money(job.price_minor, job.asset),
        "warnings": inspections.warnings_of(found.scene) if found.scene is not None else [],
        "created_at": moments.written(job.created_at),
        "started_at": _written(job.started_at),
        "ended_at": _written(job.ended_at),
        "priority": job.priority,
        **_ordered(found),
    }


def _ordered(found: AccountJob) -> dict[str, Any]:
    """What a render order says."""
    order, asset = found.order, found.job.asset
    if order is None:
        nothing = ("prompt", "tier", "payment_mode", "max_amount", "price_per_hour", "rate", "settled", "allocation")
        return dict.fromkeys(nothing)
    return {
        "prompt": order.prompt,
        "tier": found.job.tier,
        "payment_mode": order.mode,
        "max_amount": None if order.max_amount_minor is None else Money(order.max_amount_minor, asset),
        "price_per_hour": Money(order.price_per_hour_minor, asset),
        "rate": f"{order.rate.normalize():f}",
        "settled": order.settled_at is not None,
        "allocation": _allocation(order, found.blocked_nodes),
    }


def _allocation(order: RenderOrder, blocked_nodes: int) -> dict[str, Any]:
    return {**order.allocation, "nodes_blocked": blocked_nodes}


def _settings(job: Job) -> dict[str, Any]:
    said = {name: job.settings.get(name) for name in PICTURE if job.settings.get(name) is not None}
    video, parts = job.settings.get("video"), job.settings.get("tiles")
    return {
        **said,
        "output_format": render_settings.delivery_format(job.settings),
        **({"fps": video["fps"]} if video else {}),
        **({"tiles": f"{parts['columns']}x{parts['rows']}"} if parts else {}),
    }


def _reason(job: Job) -> dict[str, str] | None:
    """Why a job is as it is, where that is not plain."""
    return {"code": job.reason_code, "message": job.error_message or ""} if job.reason_code else None


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moments.written(moment)
