"""Compute tasks, as whoever orders them sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robocompute.apis import Answer, Noun
from robocompute.calls import Amount, Call, decimal_text, delete, get, patch, post, segment


class TaskCalls(Noun[Answer]):
    def create(
        self,
        name: str,
        type: str,
        resource_requirements: Mapping[str, Any],
        docker_image: str,
        command: Sequence[str],
        max_price_per_hour: Amount,
        timeout_seconds: int = 3600,
        priority: str = "normal",
        storage_gb: float | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        network: bool | None = None,
        location: str | None = None,
        currency: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Order one run of a container: {task_id, status, estimated_cost, …}.

        `resource_requirements` has cpu_cores, ram_gb, storage_gb, gpu_count, gpu_memory_gb; `priority` is high, normal or low.
        What it may cost at most, `max_price_per_hour` × `timeout_seconds`, is held until it ends. No network, unless asked for.
        """
        wanted = dict(resource_requirements) | ({} if storage_gb is None else {"storage_gb": storage_gb})
        body = {
            "name": name,
            "type": type,
            "resource_requirements": wanted,
            "docker_image": docker_image,
            "command": list(command),
            "max_price_per_hour": decimal_text(max_price_per_hour),
            "timeout_seconds": timeout_seconds,
            "priority": priority,
            "environment": environment,
            "network": network,
            "location": location,
            "currency": currency,
        }
        return self._send(post("/tasks", body, idempotency_key))

    def get(self, task_id: str) -> Answer:
        return self._send(get(_path(task_id)))

    def list(self, status: str | None = None, limit: int = 50, offset: int = 0) -> Answer:
        """{tasks: […], …}, the newest first."""
        return self._send(get("/tasks", status=status, limit=limit, offset=offset))

    def update(
        self,
        task_id: str,
        max_price_per_hour: Amount | None = None,
        priority: str | None = None,
        name: str | None = None,
    ) -> Answer:
        """Offer another price, or move it in the queue."""
        body = {"max_price_per_hour": decimal_text(max_price_per_hour), "priority": priority, "name": name}
        return self._send(patch(_path(task_id), body))

    def cancel(self, task_id: str) -> Answer:
        """Call it off: what ran of it is paid for, the rest of the hold comes back."""
        return self._send(delete(_path(task_id)))

    def get_metrics(self, task_id: str) -> Answer:
        """{metrics: {cpu_usage_percent, gpu_usage_percent, …}, …}"""
        return self._send(get(_path(task_id, "/metrics")))

    def get_results(self, task_id: str) -> Answer:
        """{result_url, result_hash, size_bytes, …}: a signed address, and the SHA-256 of its bytes."""
        return self._send(get(_path(task_id, "/results")))

    def open_dispute(
        self,
        task_id: str,
        reason: str,
        grounds: str = "other",
        expected_hash: str | None = None,
        rerun_task_id: str | None = None,
    ) -> Answer:
        """Say that the result of a completed task is bad. `grounds` is result_hash (with `expected_hash`), rerun (with
        `rerun_task_id`, the same task done by another provider), or other."""
        body = {"reason": reason, "grounds": grounds, "expected_hash": expected_hash, "rerun_task_id": rerun_task_id}
        return self._send(post(_path(task_id, "/dispute"), body))

    def get_dispute(self, task_id: str) -> Answer:
        """What became of it, and what the hub itself can say of the result."""
        return self._send(get(_path(task_id, "/dispute")))

    def list_disputes(self, status: str | None = None, limit: int = 50, offset: int = 0) -> Answer:
        """{disputes: […]} of one's own tasks, the newest first."""
        return self._send(get("/tasks/disputes", status=status, limit=limit, offset=offset))


def logs(task_id: str, lines: int, after: int | None = None, follow: bool | None = None) -> Call:
    """With `follow` the answer waits a while for a line where none is there yet."""
    return get(_path(task_id, "/logs"), lines=lines, after=after, follow=follow)


def _path(task_id: str, rest: str = "") -> str:
    return f"/tasks/{segment(task_id, 'task_id')}{rest}"
