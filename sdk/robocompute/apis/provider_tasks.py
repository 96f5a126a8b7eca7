"""Tasks as a provider's own software does them: take, start, report, hand in."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from robocompute.apis import Answer, ProvidersNoun
from robocompute.calls import get, patch, post, segment


class ProviderTaskCalls(ProvidersNoun[Answer]):
    def list_available(self, limit: int | None = None) -> Answer:
        """{tasks: […]} that this provider may accept now."""
        return self._send(get(f"{self._prefix}/tasks/available", limit=limit))

    def accept(self, task_id: str, resource_id: str | None = None, *, idempotency_key: str | None = None) -> Answer:
        """Take a task: {task_id, status, upload_url, result_storage_url}. TaskAlreadyAcceptedError where another was first."""
        body = {"task_id": task_id, "resource_id": resource_id}
        return self._send(post(f"{self._prefix}/tasks/accept", body, idempotency_key))

    def start(
        self, task_id: str, container_id: str | None = None, resource_usage: Mapping[str, Any] | None = None
    ) -> Answer:
        """Say that it runs: {task_id, status, upload_url, result_storage_url}."""
        return self._send(post(self._path(task_id, "start"), {"container_id": container_id, "resource_usage": resource_usage}))

    def update_progress(
        self,
        task_id: str,
        progress: float,
        status: str = "running",
        metrics: Mapping[str, Any] | None = None,
        logs: Iterable[Mapping[str, Any]] | None = None,
    ) -> Answer:
        """Percent done. It renews the lease: a task that nothing is heard of goes to others."""
        body = {
            "progress": progress,
            "status": status,
            "metrics": metrics,
            "logs": None if logs is None else [dict(line) for line in logs],
        }
        return self._send(patch(self._path(task_id, "progress"), body, None if logs is None else str(uuid.uuid4())))

    def complete(
        self,
        task_id: str,
        result_hash: str,
        result_storage_url: str,
        execution_time_seconds: float,
        resource_usage: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Hand in what was uploaded: {task_id, status, earnings}. VerificationFailedError where that is not their SHA-256."""
        body = {
            "result_hash": result_hash,
            "result_storage_url": result_storage_url,
            "execution_time_seconds": execution_time_seconds,
            "resource_usage": resource_usage,
        }
        return self._send(post(self._path(task_id, "complete"), body))

    def fail(
        self, task_id: str, error_code: str, error_message: str, logs: str | None = None, exit_code: int | None = None
    ) -> Answer:
        """Give the task back; others may try it. With `exit_code`, not 0, the container ended by itself, or at its own
        limit of memory or disk (137): the task is over, and the seconds since `start` are paid."""
        body = {"error_code": error_code, "error_message": error_message, "logs": logs, "exit_code": exit_code}
        return self._send(post(self._path(task_id, "fail"), body))

    def _path(self, task_id: str, verb: str) -> str:
        return f"{self._prefix}/tasks/{segment(task_id, 'task_id')}/{verb}"
