"""What a provider offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robocompute.apis import Answer, ProvidersNoun
from robocompute.calls import delete, get, patch, post, segment


class Resources(ProvidersNoun[Answer]):
    def create(
        self,
        resource_type: str,
        specifications: Mapping[str, Any],
        pricing: Mapping[str, Any],
        availability: Mapping[str, Any] | None = None,
    ) -> Answer:
        """{resource_id, status, …}. `pricing` is {"per_hour": "8.00"} in USDC."""
        body = {
            "resource_type": resource_type,
            "specifications": specifications,
            "pricing": pricing,
            "availability": availability,
        }
        return self._send(post(f"{self._prefix}/resources", body))

    def get(self, resource_id: str) -> Answer:
        return self._send(get(self._path(resource_id)))

    def list(self, type: str | None = None, status: str | None = None) -> Answer:
        """{resources: […]}"""
        return self._send(get(f"{self._prefix}/resources", type=type, status=status))

    def update(
        self,
        resource_id: str,
        pricing: Mapping[str, Any] | None = None,
        availability: Mapping[str, Any] | None = None,
        status: str | None = None,
        specifications: Mapping[str, Any] | None = None,
    ) -> Answer:
        body = {"pricing": pricing, "availability": availability, "status": status, "specifications": specifications}
        return self._send(patch(self._path(resource_id), body))

    def delete(self, resource_id: str) -> Answer:
        return self._send(delete(self._path(resource_id)))

    def _path(self, resource_id: str) -> str:
        return f"{self._prefix}/resources/{segment(resource_id, 'resource_id')}"
