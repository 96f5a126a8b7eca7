"""A job's events as this dialect writes them, line by line (text/event-stream, the HTML standard's server-sent events)."""

import json
from typing import Any

from app.api import moments
from app.api.rnp019 import job_words
from app.core.job_events import Page
from app.models.job_events import JobEvent
from app.values.frame_counts import frames_done
from app.values.money import Money
from app.values.states import JobState, PaymentState, UnitState

MEDIA_TYPE = "text/event-stream"
RETRY = "retry: 2000\n\n"
VIDEOS = ("join", "video")  # kinds of units that make all of a video: of frames, or of a prompt
HEARTBEAT = ": still here\n\n"


def written(name: str, data: dict[str, Any], id: int | None = None) -> str:
    head = "" if id is None else f"id: {id}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def page(found: Page, frames_total: int) -> str:
    """All events of a page, of a job of so many frames. What was deleted before is told by how many it was, under the number of
    the last of them."""
    first = found.events[0].sequence if found.events else found.last + 1
    gap = written("skipped", {"skipped": found.skipped}, (first or 1) - 1) if found.skipped else ""
    return gap + "".join(written(item.kind, shown(item, frames_total), item.sequence) for item in found.events)


def shown(item: JobEvent, frames_total: int) -> dict[str, Any]:
    facts = item.facts
    head = {"job_id": str(item.job_id), "at": moments.written(item.noted_at)}
    tail = {
        "frames_completed": frames_done(facts["completed"], facts["total"], frames_total),
        "frames_total": frames_total,
        "current_cost": _amount(facts, "charged_minor"),
        "asset": facts["asset"],
    }
    return head | (_job(facts) if item.kind == "job" else _frame(facts)) | tail


def _job(facts: dict[str, Any]) -> dict[str, Any]:
    lead = UnitState.RENDERING if facts["has_begun"] else UnitState.QUEUED
    return {
        "status": job_words.word(PaymentState(facts["payment_state"]), lead, JobState(facts["job_state"])),
        "reason": {"code": facts["reason"], "message": facts["message"] or ""} if facts["reason"] else None,
        "priority": facts["priority"],
        "limit": _amount(facts, "limit_minor"),
        "settled": facts["is_settled"],
    }


def _frame(facts: dict[str, Any]) -> dict[str, Any]:
    part = {"tile": facts["tile"]} if facts["tile"] is not None else {"video": True} if facts.get("unit") in VIDEOS else {}
    return {
        "frame": facts["frame"],
        **part,
        "status": facts["status"],
        "seconds": facts["seconds"],
        "cost": _amount(facts, "cost_minor"),
        "attempts": facts["attempts"],
        "error": facts["error"],
    }


def _amount(facts: dict[str, Any], name: str) -> str | None:
    return None if facts[name] is None else str(Money(int(facts[name]), facts["asset"]))
