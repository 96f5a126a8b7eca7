"""Celery's consumer for a host that may read its own queue and nothing else, and must come back from whatever happens to it."""

from __future__ import annotations

import logging
import time
from typing import Any

from amqp.exceptions import AccessRefused, NotAllowed, NotFound
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

log = logging.getLogger(__name__)

DELAYED = "celery.worker.consumer.delayed_delivery:DelayedDelivery"
# The user, its password, the virtual host or the queue is gone, or somebody of the same provider holds the queue alone.
REFUSALS = (AccessRefused, NotAllowed, NotFound)
ASK_AGAIN_SECONDS = 5
LONGEST_PAUSE_SECONDS = 5


class DoorbellConsumer(Consumer):
    """Declares nothing, looks for a lost broker every few seconds, and asks the hub for another where it is refused."""

    class Blueprint(Consumer.Blueprint):
        default_steps = [step for step in Consumer.Blueprint.default_steps if step != DELAYED]

    def ensure_connected(self, conn: Any) -> Any:
        """As Celery's, which in the end would look only twice a minute."""
        def tell(error: Exception, seconds: float) -> None:
            log.warning("the broker is away", extra={"broker": conn.as_uri(), "reason": str(error), "again_in_seconds": seconds})

        found = conn.ensure_connection(tell, None, 1, 1, LONGEST_PAUSE_SECONDS, callback=maybe_shutdown)
        self.first_connection_attempt = False
        return found

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        self._mend(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        self._mend(exc)

    def _mend(self, error: Exception) -> None:
        """Not at once: a hub and a broker that were just refused something are not to be asked in a loop."""
        if not isinstance(error, REFUSALS):
            return
        log.warning("the broker refuses this node: asking the hub", extra={"reason": str(error)})
        for _ in range(ASK_AGAIN_SECONDS):
            maybe_shutdown()
            time.sleep(1)
        self.app.find_broker_again()
