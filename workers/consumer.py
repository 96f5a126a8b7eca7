"""The hub's worker on RabbitMQ."""

from celery.worker.consumer import Consumer

DELAYED = "celery.worker.consumer.delayed_delivery:DelayedDelivery"


class HubConsumer(Consumer):
    """Celery's own without the thirty queues for delayed tasks, which the hub has none of: sweeps come again."""

    class Blueprint(Consumer.Blueprint):
        default_steps = [step for step in Consumer.Blueprint.default_steps if step != DELAYED]
