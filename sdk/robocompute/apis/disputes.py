"""What buyers say against a provider's results."""

from __future__ import annotations

from robocompute.apis import Answer, ProvidersNoun
from robocompute.calls import get, post, segment


class Disputes(ProvidersNoun[Answer]):
    def list(self, status: str | None = None, limit: int = 50, offset: int = 0) -> Answer:
        """{disputes: […]}, the newest first."""
        return self._send(get(f"{self._prefix}/disputes", status=status, limit=limit, offset=offset))

    def answer(self, dispute_id: str, answer: str) -> Answer:
        """Say something to it before it is decided."""
        return self._send(post(f"{self._prefix}/disputes/{segment(dispute_id, 'dispute_id')}/answer", {"answer": answer}))
