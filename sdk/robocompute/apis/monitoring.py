"""How a provider is doing, and that it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robocompute.apis import Answer, ProvidersNoun
from robocompute.calls import get, post


class Monitoring(ProvidersNoun[Answer]):
    def get_status(self) -> Answer:
        return self._send(get(f"{self._prefix}/status"))

    def send_heartbeat(
        self, status: str = "online", resources_available: Mapping[str, Any] | None = None, active_tasks: int = 0
    ) -> Answer:
        """Say that the provider is there; it keeps its tasks, too."""
        body = {"status": status, "active_tasks": active_tasks, "resources_available": resources_available}
        return self._send(post(f"{self._prefix}/heartbeat", body))

    def get_metrics(self, period: str = "7d") -> Answer:
        return self._send(get(f"{self._prefix}/metrics", period=period))
