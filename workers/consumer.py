"""The hub's worker on RabbitMQ."""

from typing import Any

import structlog
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 5
DELAYED = "celery.worker.consumer.delayed_delivery:DelayedDelivery"


class HubConsumer(Consumer):
    """Celery's own without the thirty queues for delayed tasks, which the hub has none of: sweeps come again."""

    class Blueprint(Consumer.Blueprint):
        default_steps = [step for step in Consumer.Blueprint.default_steps if step != DELAYED]

    def ensure_connected(self, conn: Any) -> Any:
        """As Celery's, which gives up after a hundred times and in the end looks only twice a minute."""

        def tell(error: Exception, seconds: float) -> None:
            log.warning("broker.away", broker=conn.as_uri(), error=str(error), again_in_seconds=seconds)

        found = conn.ensure_connection(tell, None, 1, 1, LONGEST_PAUSE_SECONDS, callback=maybe_shutdown)
        self.first_connection_attempt = False
        return found
