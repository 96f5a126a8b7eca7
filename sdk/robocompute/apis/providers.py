"""Who offers compute."""

from __future__ import annotations

from robocompute.apis import Answer, Noun
from robocompute.calls import Amount, decimal_text, get, segment


class Providers(Noun[Answer]):
    def search(
        self,
        gpu_memory_min: float | None = None,
        cpu_cores_min: float | None = None,
        max_price: Amount | None = None,
        location: str | None = None,
    ) -> Answer:
        """{providers: […]}, the best first. Memory in GB, price in USDC per hour."""
        found = get(
            "/providers/search",
            gpu_memory_min=gpu_memory_min,
            cpu_cores_min=cpu_cores_min,
            max_price=decimal_text(max_price),
            location=location,
        )
        return self._send(found)

    def get(self, provider_id: str) -> Answer:
        return self._send(get(f"/providers/{segment(provider_id, 'provider_id')}"))
