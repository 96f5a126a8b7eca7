"""One session of an agent: what its tools do with the hub, its scenes, its money and its pictures."""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput, Refused
from app.mcp.downloads import Downloads
from app.mcp.following import MOST_SECONDS, OVER, OVER_LIMIT, PAUSED, Seen, advice, follow, gist, raising
from app.mcp.hub import TRYING_SECONDS, Hub, HubRefused, Unclear
from app.mcp.listener import NOBODY, Listener
from app.mcp.purse import WITHOUT, Purse
from app.mcp.scenes import Scenes
from app.mcp.tally import Order
from app.mcp.topups import TopUps
from app.values.frames import FrameSet
from app.values.money import Money, parse

POLL_SECONDS = 0.5
CALL_SECONDS = 45.0  # of a tool call at most: clients give up after a minute
WAIT_SECONDS_MOST = 600.0  # for clients that wait longer than usual
FRAMES_TOLD_MOST = 2000
CREDITS = "credits"
NO_VIDEO = {
    "NO_VIDEO": "Call download without video: it saves the pictures",
    "VIDEO_NOT_READY": "Call wait, then this again; without video it saves the frames that are finished",
}
SHORT = "INSUFFICIENT_CREDITS"
ORDER_KEY_LIMIT_CHARS = 255
Ask = Callable[[], dict[str, Any]]
NOTHING = "dry run: nothing was ordered or changed"


@dataclass(frozen=True, slots=True)
class Render:
    """What is to be rendered, a scene or a prompt: `settings` as RNP-019 names them, without what is left to the scene."""

    scene: str | None
    frames: str
    settings: Mapping[str, Any]
    prompt: str | None = None


class Session:
    """With `is_dry` nothing is ordered or changed at the hub, whatever is asked for; scenes do go there, to be estimated."""

    def __init__(self, hub: Hub, scenes: Scenes, purse: Purse, downloads: Downloads, is_dry: bool) -> None:
        self.hub, self.scenes, self.purse, self.downloads, self.is_dry = hub, scenes, purse, downloads, is_dry
        self.topups = TopUps(hub, purse.asset, is_dry)
        self._unclear: dict[str, tuple[dict[str, Any], Money]] = {}  # orders whose answer was lost, by their keys
        self._spending = threading.Lock()

    def inspect(self, scene: str, wait_seconds: float, listener: Listener = NOBODY) -> dict[str, Any]:
        """How a scene stands once it is ready or rejected, or when the time is up."""
        until = time.monotonic() + min(wait_seconds, CALL_SECONDS)
        found = self._bring(scene, until, listener)
        while found["status"] == "inspecting" and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
            listener.assert_there()
            found = self.hub.ask("GET", f"/scenes/{found['id']}")
        return _without_address(found)

    def estimate(self, wanted: Render, is_probed: bool) -> dict[str, Any]:
        """Price and time in every tier, in the session's asset."""
        if is_probed and self.is_dry:
            raise Refused("a probe renders two small frames, which a dry run does not: leave probe out", code="DRY_RUN")
        found = self._estimate(wanted, self._source(wanted), is_probed)
        return found | {"spending": self.purse.told()}

    def render(
        self, wanted: Render, tier: str, name: str, max_amount: str | None, is_dry: bool, order_key: str | None
    ) -> dict[str, Any]:
        """Order it, paid from the balance, within the caps; or say what would be ordered.

        Counted before it is sent: an order whose answer was lost stays counted, and is safe to repeat under its key.
        """
        key = _order_key(order_key)
        if (known := self._ordered_before(key)) is not None:
            return known
        source = self._source(wanted)
        quoted = self._estimate(wanted, source, is_probed=False)
        offer = next(item for item in quoted["estimates"] if item["tier"] == tier)
        most = parse(offer["cost"], self.purse.asset)
        if max_amount is not None:
            most = min(most, self._amount(max_amount))
        payment = {"mode": CREDITS, "asset": self.purse.asset, "max_amount": str(most)}
        order = self._asked(wanted, source) | {"tier": tier, "name": name, "payment": payment}
        order, most = self._as_sent(key, order, most)
        if self.is_dry or is_dry:
            self._make_room(key, most)
            told = {"would_order": order, "would_cost_at_most": str(most), "frames_total": quoted["frames_total"]}
            return {"dry_run": True, "note": NOTHING, **told, "estimate": offer, "spending": self.purse.told()}
        with self._alone():
            return self._ordered_before(key) or self._told(self._order(order, most, key))

    def _ordered_before(self, key: str) -> dict[str, Any] | None:
        known = self.purse.job_of(key)
        if known is None:
            return None
        note = "ordered before, under this order_key; nothing new was ordered"
        return self._told(self.hub.ask("GET", f"/jobs/{known}")) | {"note": note}

    def _as_sent(self, key: str, order: dict[str, Any], most: Money) -> tuple[dict[str, Any], Money]:
        """An order that is repeated is repeated as it was, whatever is estimated now. Refused where it is another one: the first
        may have arrived, and would not be counted any more."""
        sent, counted = self._unclear.get(key, (order, most))
        if {**sent, "payment": None} != {**order, "payment": None}:
            message = f"the order_key {key} is another order's: repeat that one as it was, or leave order_key out for a new one"
            raise Refused(f"{message}. {WITHOUT}", code="ORDER_KEY_USED")
        return sent, counted

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One order at a time: what is counted for it is known before the next one is held against the caps."""
        if not self._spending.acquire(timeout=CALL_SECONDS):
            raise Refused(f"another order is on its way to the hub: call this again. {WITHOUT}", code="ORDER_IN_PROGRESS")
        try:
            yield
        finally:
            self._spending.release()

    def _make_room(self, key: str, most: Money) -> None:
        """Refused if an order would cross a cap, also once those that are over have left what they did not cost."""
        try:
            self.purse.assert_within(most, key)
        except Refused:
            for job_id in self.purse.open_jobs():
                self._note(self.hub.ask("GET", f"/jobs/{job_id}"))
            self.purse.assert_within(most, key)

    def _order(self, order: dict[str, Any], most: Money, key: str) -> dict[str, Any]:
        self._make_room(key, most)
        before = self.purse.set_aside(key, most)
        try:
            job = self._counted(key, before, lambda: self.hub.ask("POST", "/jobs", order, order_key=key))
        except Unclear as unclear:
            self._unclear[key] = order, most
            again = f"call render again with order_key {key} and the rest as it was"
            message = f"{unclear.message}. Whether it was ordered is not known, so it stays counted: {again}"
            raise Unclear(message, code="ORDER_UNCLEAR") from unclear
        self._unclear.pop(key, None)
        self.purse.agree(key, str(job["id"]), most)
        return job

    def status(self, job_id: str, wait_seconds: float, listener: Listener = NOBODY) -> dict[str, Any]:
        """How a job and its frames stand; with `wait_seconds`, as soon as that is something else, or it is over."""

        def is_news(first: dict[str, Any], now: dict[str, Any]) -> bool:
            return now["status"] in OVER or gist(now) != gist(first)

        return self._seen(follow(self.hub, _id(job_id), min(wait_seconds, CALL_SECONDS), is_news, listener))

    def wait(self, job_id: str, timeout_seconds: float, listener: Listener = NOBODY) -> dict[str, Any]:
        """How a job and its frames stand once it is over or paused, or when the time is up. The hub may be away meanwhile."""

        def is_news(_first: dict[str, Any], now: dict[str, Any]) -> bool:
            return now["status"] in (*OVER, PAUSED)

        return self._seen(follow(self.hub, _id(job_id), min(timeout_seconds, WAIT_SECONDS_MOST), is_news, listener))

    def _seen(self, seen: Seen) -> dict[str, Any]:
        """With its frames, unless they are too many, or the hub is away."""
        job, frames = seen.job, None
        self._note(job)
        if job["frames_total"] <= FRAMES_TOLD_MOST and not seen.is_away:
            with suppress(Unclear):  # the job itself is known
                frames = self._frames(job)
        return {"job": job, "frames": frames, "note": seen.note, "spending": self.purse.told()}

    def jobs(self, limit: int) -> dict[str, Any]:
        """The account's newest."""
        found = self.hub.ask("GET", "/jobs", query={"limit": limit})["jobs"]
        names = ("id", "name", "status", "frames", "frames_total", "frames_completed", "current_cost", "asset", "created_at")
        return {"jobs": [{name: job[name] for name in names} for job in found], "spending": self.purse.told()}

    def balance(self) -> dict[str, Any]:
        return self.hub.ask("GET", "/credits") | {"spending": self.purse.told()}

    def topup(self, amount: str | None, topup_id: str | None, tx_signature: str | None, is_redeemed: bool) -> dict[str, Any]:
        """Ask for a top-up, or see how one stands."""
        if (amount is None) == (topup_id is None):
            raise InvalidInput("give either an amount, or the topup_id that such a call answered with")
        if amount is not None:
            return self.topups.ask(str(self._amount(amount)))
        return self.topups.look(str(topup_id), tx_signature, is_redeemed)

    def download_video(self, job_id: str, listener: Listener = NOBODY) -> dict[str, Any]:
        """A job's video, as far as a call's time reaches: the next call goes on from there."""
        wanted = _id(job_id)
        try:
            path, was_there, left_bytes = self.downloads.fetch_video(wanted, time.monotonic() + CALL_SECONDS, listener)
        except HubRefused as refusal:
            if refusal.code not in NO_VIDEO:
                raise
            raise HubRefused(f"{refusal.message}. {NO_VIDEO[refusal.code]}", code=refusal.code) from refusal
        told = {"folder": str(self.downloads.folder(wanted)), "files": [] if left_bytes else [str(path)]}
        return told | {"had_already": int(was_there), "left_bytes": left_bytes}

    def download(self, job_id: str, frames: str | None, is_preview: bool, listener: Listener = NOBODY) -> dict[str, Any]:
        """Finished frames, or those of them that are asked for, as far as a call's time reaches: `left` come with the next."""
        until, wanted = time.monotonic() + CALL_SECONDS, _id(job_id)
        rows = self._rows(wanted, frames)
        if not rows:
            raise InvalidInput(f"the job has none of the frames {frames!r}: status tells which it has")
        ready = [int(row["frame"]) for row in rows if row["status"] == "completed"]
        files, there, total = [], 0, len(ready)
        while ready and time.monotonic() < until:
            path, was_there = self.downloads.fetch(wanted, ready.pop(0), is_preview, listener)
            files.append(str(path))
            there += was_there
            listener.hear(len(files), total, f"{len(files)} of {total} pictures are saved")
        others = [int(row["frame"]) for row in rows if row["status"] != "completed"]
        told = {"folder": str(self.downloads.folder(wanted)), "files": files, "had_already": there}
        return told | {"left": _ranges(ready), "not_finished": _ranges(others)}

    def pause(self, job_id: str) -> dict[str, Any]:
        return self._changed("POST", f"/jobs/{_id(job_id)}/pause")

    def cancel(self, job_id: str) -> dict[str, Any]:
        return self._changed("DELETE", f"/jobs/{_id(job_id)}")

    def resume(self, job_id: str, max_amount: str | None) -> dict[str, Any]:
        """Go on, and let it cost up to `max_amount` where that is given: counted first, whoever has ordered it."""
        wanted = _id(job_id)
        path = f"/jobs/{wanted}"
        with self._alone():
            job = self.hub.ask("GET", path)
            limit = self._limit(job, max_amount)
            key = self.purse.key_of(str(wanted)) or f"job:{wanted}"
            self._make_room(key, limit)
            if self.is_dry:
                return {"dry_run": True, "note": NOTHING, "would_cost_at_most": str(limit), "spending": self.purse.told()}
            before = self.purse.set_aside(key, limit, str(wanted))
            if max_amount is not None:
                self._counted(key, before, lambda: self.hub.ask("PATCH", path, {"max_amount": max_amount}))
                self.purse.agree(key, str(wanted), limit)  # it holds, whatever is said to the rest
                return self._told(self._go_on(job))
            found = self._counted(key, before, lambda: self._go_on(job))
            self.purse.agree(key, str(wanted), limit)
            return self._told(found)

    def _go_on(self, job: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.hub.ask("POST", f"/jobs/{job['id']}/resume")
        except HubRefused as refusal:
            if refusal.code != OVER_LIMIT:
                raise
            raise HubRefused(f"its max_amount covers no further frame: {raising(job)}", code=OVER_LIMIT) from refusal

    def _counted(self, key: str, before: Order | None, ask: Ask) -> dict[str, Any]:
        """Ask for what was counted under a key. What the hub says no to is not counted; it is after anything else."""
        try:
            return ask()
        except HubRefused as refusal:
            self.purse.give_back(key, before)
            if refusal.code != SHORT:
                raise
            said = "call topup with what is missing: it answers with the address and the memo to pay it to"
            raise HubRefused(f"{refusal.message}. {WITHOUT} The balance pays for renders: {said}", code=SHORT) from refusal

    def _changed(self, method: str, path: str) -> dict[str, Any]:
        if self.is_dry:
            return {"dry_run": True, "note": NOTHING}
        return self._told(self.hub.ask(method, path))

    def _told(self, job: dict[str, Any]) -> dict[str, Any]:
        self._note(job)
        return {"dry_run": False, "job": job, "note": advice(job), "spending": self.purse.told()}

    def _limit(self, job: dict[str, Any], max_amount: str | None) -> Money:
        """What a job may cost at most, with a new `max_amount` or its own."""
        if job["asset"] != self.purse.asset:
            raise Refused(f"the job is paid with {job['asset']}, and this session spends {self.purse.asset}", code="OTHER_ASSET")
        quoted = parse(job["estimated_cost"], self.purse.asset)
        if max_amount is not None:
            return min(quoted, self._amount(max_amount))
        return min(quoted, self._amount(job["max_amount"])) if job["max_amount"] else quoted

    def _bring(self, scene: str, until: float, listener: Listener) -> dict[str, Any]:
        """By its id, or the path of a file."""
        known = _maybe_id(scene)
        return self.hub.ask("GET", f"/scenes/{known}") if known else self.scenes.bring(scene, until, listener)

    def _ready(self, scene: str) -> str:
        """The id of a scene that can be rendered. Refused while it can't, saying what to do."""
        found = self.inspect(scene, CALL_SECONDS)
        if found["status"] == "ready":
            return str(found["id"])
        if found["status"] == "rejected":
            error = found["error"] or {}
            raise Refused(f"the hub can't render this scene: {error.get('message')}", code=error.get("code") or "SCENE_REJECTED")
        said = f"{found['status']}, {found['received_bytes']} of {found['size_bytes']} bytes are there"
        message = f"the scene {found['id']} is not ready yet ({said}): call inspect until it is, then this again"
        raise Refused(message, code="SCENE_NOT_READY")

    def _source(self, wanted: Render) -> dict[str, str]:
        if (wanted.scene is None) == (wanted.prompt is None):
            raise InvalidInput("give either a scene or a prompt")
        return {"scene_id": self._ready(wanted.scene)} if wanted.scene is not None else {"prompt": str(wanted.prompt)}

    def _estimate(self, wanted: Render, source: dict[str, str], is_probed: bool) -> dict[str, Any]:
        return self.hub.ask("POST", "/estimates", self._asked(wanted, source) | {"asset": self.purse.asset, "probe": is_probed})

    def _asked(self, wanted: Render, source: dict[str, str]) -> dict[str, Any]:
        return {**source, "frames": wanted.frames, "settings": dict(wanted.settings)}

    def _amount(self, text: str) -> Money:
        amount = parse(text, self.purse.asset)
        if amount.minor <= 0:
            raise InvalidInput(f"the amount is {text!r}: it must be more than zero")
        return amount

    def _note(self, job: dict[str, Any]) -> None:
        """A job that is over leaves what it did not cost."""
        if job["status"] in OVER and job["asset"] == self.purse.asset:
            self.purse.settle(str(job["id"]), parse(job["current_cost"], self.purse.asset))

    def _rows(self, job_id: uuid.UUID, frames: str | None, seconds: float = TRYING_SECONDS) -> list[dict[str, Any]]:
        query = None if frames is None else {"frames": frames}
        found: list[dict[str, Any]] = self.hub.ask("GET", f"/jobs/{job_id}/frames", query=query, seconds=seconds)["frames"]
        return found

    def _frames(self, job: dict[str, Any]) -> dict[str, str]:
        """Frames by how they stand, as ranges: {"completed": "1-5", "rendering": "6"}."""
        found = defaultdict(list)
        for row in self._rows(_id(job["id"]), None, MOST_SECONDS):
            found[str(row["status"])].append(int(row["frame"]))
        return {word: _ranges(numbers) for word, numbers in found.items()}


def _order_key(text: str | None) -> str:
    """A new one where none is given."""
    if text is None:
        return str(uuid.uuid4())
    if not 0 < len(text) <= ORDER_KEY_LIMIT_CHARS or not text.isascii() or not text.isprintable():
        raise InvalidInput(f"order_key is what a refusal named, letters and digits: leave it out for a new order. {WITHOUT}")
    return text


def _ranges(numbers: list[int]) -> str:
    return FrameSet(tuple(sorted(numbers))).text if numbers else ""


def _without_address(scene: dict[str, Any]) -> dict[str, Any]:
    """Whoever has an upload's signed address may send bytes there: it is for this server alone."""
    return {name: value for name, value in scene.items() if name != "upload_url"}


def _maybe_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _id(text: str) -> uuid.UUID:
    found = _maybe_id(str(text))
    if found is None:
        raise InvalidInput(f"{text!r} is no job's id: render answers with one, and status without a job_id lists them")
    return found
