"""The node as a whole: joins the hub, keeps its leases and its heartbeat, and lends its slots to the doorbell.

Celery, the poll mode of `lightyard-node` and the tests all drive this one object.
"""

from __future__ import annotations

import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gpu_node import offer, scrubbing, trail
from gpu_node.attempts import Attempt, HeldAttempts, read_claim
from gpu_node.client import HubAway, HubClient, HubRefused
from gpu_node.config import NodeSettings
from gpu_node.delivery import Delivery
from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.films import Films
from gpu_node.home import hold_home
from gpu_node.host import find_host
from gpu_node.keys import load_or_create_key, public_key_text
from gpu_node.machine import describe_engine, describe_machine, free_disk_bytes, load_average, read_gpus
from gpu_node.registration import register
from gpu_node.relay import RelayClient
from gpu_node.runners.blender.runner import BlenderRunner, Host
from gpu_node.runners.container.room import HostBusy
from gpu_node.runners.container.runner import ContainerRunner
from gpu_node.runners.outputs import Output
from gpu_node.runs import Runs
from gpu_node.scenes import SceneStore
from gpu_node.slot import Ring, Slot
from gpu_node.task_logs import TaskLogs

log = logging.getLogger(__name__)

CLAIM_PATIENCE_SECONDS = 5.0
KEEPER_PATIENCE_SECONDS = 2.0
LOGS_PATIENCE_SECONDS = 5.0
JOIN_PATIENCE_SECONDS = 86400.0 * 365
SHORTEST_LEASE_SECONDS = 3.0


class Agent:
    """`start`, `ring` as often as one likes, `drain`, `close`."""

    def __init__(self, settings: NodeSettings, host: Host | None = None, blender_version: str | None = None) -> None:
        engine = offer.look_for_engine(settings)
        self.settings = settings = replace(settings, capabilities=offer.offered(settings.capabilities, engine is not None))
        scrubbing.know((settings.api_key, settings.inference_key))
        self._home = hold_home(settings.home)
        self._key = load_or_create_key(settings.home)
        mark = public_key_text(self._key)
        self.containers = ContainerRunner(engine, settings.home / "containers", mark, offer.rules(settings)) if engine else None
        self._work_folder = settings.home / "work"
        shutil.rmtree(self._work_folder, ignore_errors=True)
        if host is None:
            host, blender_version = find_host(settings)
        self._machine = {**describe_machine(host, blender_version), "slots": settings.slots,
                         "container_engine": describe_engine(engine, settings.container_network),
                         "offers": offer.of_models(settings)}
        self.stopping, self.draining, self.changed = threading.Event(), threading.Event(), threading.Event()
        self._grace_ends = float("inf")
        self.held = HeldAttempts()
        self.client = self._make_client()
        self.client.join = self._join
        self.delivery = Delivery(self.client, self.held, settings.hub_patience_seconds)
        self.logs = TaskLogs(self.client)
        self.scenes = SceneStore(settings.home / "scenes", self.client, settings.max_scene_bytes, settings.cache_bytes,
                                 settings.hub_patience_seconds)
        self.runs = Runs(settings, self.client, self._work_folder / "runs")
        self.films = Films(self.client, self._work_folder / "films", settings.hub_patience_seconds)
        self._rings: queue.Queue[Ring] = queue.Queue()
        self._ring_lock = threading.Lock()
        self.slots = [Slot(self, self._rings, self._make_runner(host, number)) for number in range(settings.slots)]
        self._keepers = [threading.Thread(target=run, name=run.__name__, daemon=True)
                         for run in (self._keep_leases, self._keep_heartbeat)]
        self.registration: dict[str, Any] = {}

    def _make_runner(self, host: Host, number: int) -> BlenderRunner:
        folder = self._work_folder / f"slot-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return BlenderRunner(host, folder, self.settings.max_scene_bytes, self.settings.max_memory_bytes)

    def _make_client(self) -> HubClient:
        """The hub over HTTP, or over its relay, which pushes the work."""
        if not self.settings.relay:
            return HubClient(self.settings.hub_url, self.stopping)
        client = RelayClient(self.settings.hub_url, self.stopping, self.settings.slots)
        client.node_id = lambda: str(self.registration["node_id"])
        client.held = lambda: [attempt.attempt_id for attempt in self.held.all()]
        client.on_work, client.on_dead = self.ring, self.held.mark_dead
        return client

    def join(self) -> dict[str, Any]:
        """Registers and proves the key, waiting for a hub that is away. Returns the registration. Raises HubRefused."""
        self.client.call("/heartbeat", self._heartbeat(), JOIN_PATIENCE_SECONDS)
        (self.settings.home / "pulse").touch()
        return self.registration

    def rejoin(self) -> None:
        """Registers anew, though the token is good: the hub may have more to say. A hub that is away is waited for but a moment,
        and the token stays. Raises HubRefused or HubAway."""
        self.client.adopt(self._register(CLAIM_PATIENCE_SECONDS))

    def start(self) -> None:
        """Begins to work: keepers, delivery and slots. `join` comes first."""
        for thread in (*self._keepers, self.delivery, self.logs, *self.slots):
            thread.start()

    def ring(self, hint: str | None = None) -> Ring:
        """The doorbell: some slot claims until nothing fits, then sets the returned ring's `done`; at once in a drain."""
        ring = Ring(hint)
        with self._ring_lock:
            if self.draining.is_set():
                ring.done.set()
            else:
                self._rings.put(ring)
        return ring

    def drain(self) -> None:
        """No new work: frames under way get `drain_seconds`, what was not begun goes back. Returns at once."""
        with self._ring_lock:
            if self.draining.is_set():
                return
            self._grace_ends = time.monotonic() + self.settings.drain_seconds
            self.draining.set()
            self._answer_rings()
            for _ in self.slots:
                self._rings.put(Ring())
        log.info("draining", extra={"held": len(self.held.all())})
        self.client.drain()
        self._release([attempt for attempt in self.held.all() if attempt.started_at is None])

    def _answer_rings(self) -> None:
        """Whoever still waits at the door is told that nothing more will be done here."""
        while not self._rings.empty():
            self._rings.get_nowait().done.set()

    def close(self) -> None:
        """Drains, waits for it, hands the rest back and ends every child and thread."""
        self.drain()
        for slot in self.slots:
            if slot.is_alive():
                slot.join(self.settings.drain_seconds + 10)
        if self.delivery.is_alive():
            self.delivery.close(max(2.0, self._grace_ends - time.monotonic()))
        self._release(self.held.all())
        self.logs.close(LOGS_PATIENCE_SECONDS)
        self.stopping.set()
        self.changed.set()
        for keeper in self._keepers:
            if keeper.is_alive():
                keeper.join(10)
        self.client.close()
        self._home.close()

    def out_of_grace(self) -> bool:
        """Whether a frame that is still rendering must be given up."""
        return time.monotonic() > self._grace_ends

    def claim(self, limit: int, hint: str | None, job_id: str | None) -> list[Attempt]:
        """Up to `limit` attempts, held from here on, one container at most. Raises HubRefused or HubAway."""
        capabilities = [name for name in self.settings.capabilities if name != offer.COMPUTE or self._has_engine()]
        if not capabilities:
            return []
        gpus = read_gpus() if self._machine["gpus"] else []
        free = [gpu["memory_total_bytes"] - gpu["memory_used_bytes"] for gpu in gpus
                if gpu["memory_total_bytes"] is not None and gpu["memory_used_bytes"] is not None]
        body = {"capabilities": list(capabilities), "limit": limit, "hint": hint, "job_id": job_id,
                "free": {"gpu_memory_bytes": max(free) if free else None}}
        attempts = read_claim(self.client.call("/claims", body, CLAIM_PATIENCE_SECONDS))
        self.held.add(attempts)
        for attempt in attempts:
            log.info("claimed", extra={**trail.ids_of(attempt), "fence": attempt.fence})
        if attempts and self.draining.is_set():
            self._release(attempts)
            return []
        surplus = [attempt for attempt in attempts if attempt.kind == "container"][1:]
        self._release(surplus)
        return [attempt for attempt in attempts if attempt not in surplus]

    def _has_engine(self) -> bool:
        """Whether a container could be run now."""
        return self.containers is not None and self.containers.engine.answers()

    def run_container(self, attempt: Attempt, stopped: Callable[[], bool]) -> Output:
        """A compute task, whole; its owner has read what it printed when this returns. Raises WorkFailed or WorkStopped."""
        if self.containers is None:
            raise WorkFailed(FailureCode.ENGINE_UNSUPPORTED, "this node runs no containers")

        def on_running(is_running: bool) -> None:
            attempt.note_running(is_running)
            self.changed.set()  # it is billed from now on: the hub hears of it at once

        try:
            return self.containers.run(attempt.job.settings, attempt.job.limits, stopped,
                                       lambda lines: self.logs.write(attempt, lines),
                                       lambda measures: self.logs.note(attempt, measures), on_running)
        except HostBusy as busy:
            self._release([attempt])
            raise WorkStopped(str(busy)) from busy
        finally:
            self.logs.finish(attempt, LOGS_PATIENCE_SECONDS)

    def _release(self, attempts: list[Attempt]) -> None:
        """Gives units back without prejudice; a hub that is away gets them back when the lease ends."""
        if not attempts:
            return
        self.held.mark_dead(attempt.attempt_id for attempt in attempts)
        body = {"attempts": [attempt.reference for attempt in attempts], "reason": "draining"}
        try:
            self.client.call("/releases", body, KEEPER_PATIENCE_SECONDS)
        except (HubRefused, HubAway) as trouble:
            log.warning("units could not be released", extra={"reason": str(trouble)})

    def _join(self) -> str:
        """Registers, proves, returns the token. Called by the client, under its lock."""
        return self._register(JOIN_PATIENCE_SECONDS)

    def _register(self, patience_seconds: float) -> str:
        answer = register(self.client, self.settings, self._key, self._machine, None, patience_seconds)
        self.registration = answer
        log.info("joined the hub", extra={"node_id": answer["node_id"], "queues": answer.get("queues")})
        return str(answer["token"])

    def _heartbeat(self) -> dict[str, Any]:
        fell_back = self._machine["fell_back"] or any(slot.runner.fell_back for slot in self.slots)
        return {"current_load": load_average(), "draining": self.draining.is_set(),
                "machine": {**self._machine, "gpus": read_gpus(), "fell_back": fell_back,
                            "disk_bytes": free_disk_bytes(self.settings.home)},
                "attempts": [attempt.attempt_id for attempt in self.held.all()]}

    def _keep_heartbeat(self) -> None:
        while not self.stopping.wait(float(self.registration.get("heartbeat_seconds") or 30)):
            try:
                answer = self.client.call("/heartbeat", self._heartbeat(), KEEPER_PATIENCE_SECONDS)
                (self.settings.home / "pulse").touch()  # its age says whether the hub still hears this node
                self.held.mark_dead(answer.get("dead_attempts") or [])
            except (HubRefused, HubAway) as trouble:
                log.warning("heartbeat failed", extra={"reason": str(trouble)})
            except Exception:
                # A node that falls silent loses all its work, whatever stood in one answer.
                log.exception("a heartbeat met an unexpected error")

    def _keep_leases(self) -> None:
        """Reports at a third of the shortest lease, and sooner when there is something to tell."""
        reported_at = 0.0
        while not self.stopping.wait(self.settings.progress_seconds):
            attempts = self.held.all()
            shortest = min((attempt.lease_seconds for attempt in attempts), default=60.0)
            is_due = time.monotonic() - reported_at >= max(shortest, SHORTEST_LEASE_SECONDS) / 3
            if not attempts or not (is_due or self.changed.is_set()):
                continue
            self.changed.clear()
            reported_at = time.monotonic()
            try:
                self._report(attempts)
            except Exception:
                log.exception("a progress report met an unexpected error")

    def _report(self, attempts: list[Attempt]) -> None:
        now = time.monotonic()
        reports = [{**attempt.reference, "progress": attempt.progress, "message": None,
                    "seconds": attempt.seconds(now)}
                   for attempt in attempts]
        try:
            answer = self.client.call("/progress", {"reports": reports}, KEEPER_PATIENCE_SECONDS)
        except (HubRefused, HubAway) as trouble:
            log.warning("progress could not be reported", extra={"reason": str(trouble)})
            return
        self.held.mark_dead(item["attempt_id"] for item in answer["reports"] if not item["live"])
