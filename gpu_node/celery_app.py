"""The Celery app of a GPU host: `celery -A gpu_node worker -Q render`.

Celery brings only the doorbell. The worker joins the hub before it connects, turns the queue names of the command line
into the queues that its registration was granted, and declares, gossips, mingles and retries nothing: a stranger's
broker user may only read its own queue, and every other word ends in a 403.
"""

from __future__ import annotations

import logging
import ssl
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

from celery import Celery, signals
from celery.apps.worker import Worker
from kombu import Exchange, Queue

from gpu_node.agent import Agent
from gpu_node.client import HubAway
from gpu_node.config import NodeSettings, read_settings
from gpu_node.failures import NodeError
from gpu_node.interruption import call_when_told_to_end
from gpu_node.logs import log_uncaught, set_up_logging
from gpu_node.offer import offered

log = logging.getLogger(__name__)

RING_TASK = "gpu_node.ring"

_agent: Agent | None = None


class NoBroker(SystemExit):
    """Nobody said where the doorbell is."""


class NodeWorker(Worker):
    """A Celery worker that is first of all a node of the hub."""

    def on_before_init(self, **arguments: Any) -> None:
        """Before Celery says anything."""
        set_up_logging(read_settings().log_level)
        log_uncaught()
        super().on_before_init(**arguments)

    def emit_banner(self) -> None:
        """One line, and not Celery's many: the broker's address is not among what it says."""
        log.info("listening", extra={"queues": [queue.name for queue in self.app.conf.task_queues]})

    def prepare_args(self, **arguments: Any) -> dict[str, Any]:
        """Joins the hub, then says what this worker consumes and where. Ends the process where it can't."""
        agent = _start_agent(self.app)
        asked = arguments.get("queues") or list(agent.settings.capabilities)
        names = asked.split(",") if isinstance(asked, str) else list(asked)
        self.app.asked_queues = offered(names, agent.containers is not None)
        try:
            granted = listen_to(self.app, agent.registration)
        except NoBroker:
            agent.close()
            raise
        arguments.update(queues=granted, without_gossip=True, without_mingle=True, without_heartbeat=True)
        return arguments


class NodeCelery(Celery):
    """Celery, with our worker in its place. `asked_queues` are the command line's."""

    asked_queues: tuple[str, ...] | list[str] = ()

    @property
    def Worker(self) -> Any:  # noqa: N802 - Celery's own name
        return self.subclass_with_self(NodeWorker, name="Worker")

    def find_broker_again(self) -> None:
        """The broker refused this node or does not know its queue: the hub's next registration mends both, and says which queues
        are this node's now (an operator may have begun or ceased to trust it)."""
        if _agent is None or _agent.draining.is_set():
            return
        rejoin(_agent)
        broker = _agent.registration.get("broker")
        if broker is not None and _agent.settings.broker_url is None:
            listen_at(self, broker["url"])
        with suppress(NoBroker):  # said in the log; it goes on asking
            listen_to(self, _agent.registration)


def listen_to(node_app: NodeCelery, registration: dict[str, Any]) -> list[str]:
    """From its next connection on the app consumes the queues of this registration. Raises NoBroker where none was granted."""
    granted = granted_queues(list(node_app.asked_queues), registration.get("queues") or {})
    node_app.conf.task_queues = [_undeclared(name) for name in granted]
    node_app.amqp.__dict__.pop("queues", None)
    return granted


def granted_queues(names: list[str], granted: dict[str, str]) -> list[str]:
    """The queue for each capability named on the command line; one that was not granted is dropped and said."""
    queues = []
    for name in names:
        if name in granted:
            queues.append(granted[name])
        elif name in granted.values():
            queues.append(name)
        else:
            log.error("the hub did not grant this queue", extra={"queue": name, "granted": granted})
    if not queues:
        raise NoBroker(f"lightyard-node: none of the queues {names} was granted to this node: {granted}")
    return queues


def _undeclared(name: str) -> Queue:
    # A quorum queue refuses a channel's common prefetch; its type makes Celery ask for the consumer's own.
    arguments = {"x-queue-type": "quorum"}
    return Queue(name, exchange=Exchange(name, no_declare=True), routing_key=name, no_declare=True, queue_arguments=arguments)


def make_app(settings: NodeSettings) -> NodeCelery:
    """The app; it touches neither hub nor broker until a worker starts."""
    node_app = NodeCelery("gpu_node", broker=settings.broker_url or "memory://", set_as_current=False)
    node_app.conf.update(
        task_ignore_result=True, result_backend=None, task_acks_late=False, worker_prefetch_multiplier=1,
        worker_concurrency=settings.slots, worker_pool="threads", worker_enable_remote_control=False,
        worker_send_task_events=False, task_create_missing_queues=False, worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True, broker_connection_max_retries=None, accept_content=["json"],
        worker_cancel_long_running_tasks_on_connection_loss=False, worker_consumer="gpu_node.consumer:DoorbellConsumer",
        broker_channel_error_retry=True, broker_heartbeat=20, broker_connection_timeout=5,
        broker_transport_options={"visibility_timeout": 3600},
    )
    node_app.task(name=RING_TASK, ignore_result=True, acks_late=False)(ring)
    return node_app


def ring(unit_id: str | None = None) -> None:
    """The doorbell. Stays until nothing fits, so that the bells behind it stay with the broker for other nodes."""
    if _agent is None:
        raise RuntimeError("the node has not joined its hub")
    _agent.ring(unit_id).done.wait()


def _start_agent(app: Celery) -> Agent:
    global _agent
    settings = replace(read_settings(), relay=False)
    try:
        agent = Agent(settings)
        registration = agent.join()
    except NodeError as error:
        raise SystemExit(f"lightyard-node: {error}") from error
    if settings.broker_url is None and registration.get("broker") is None and registration.get("broker_retry_seconds"):
        _work_until_there_is_a_broker(agent)
    elif settings.broker_url is None and registration.get("broker") is None:
        agent.close()
        raise NoBroker("lightyard-node: the hub gave no broker and BROKER_URL is not set: ask the hub's operator for it, "
                       "or use `lightyard-node --relay` or `run --poll`, which need none")
    else:
        agent.start()
    listen_at(app, settings.broker_url or agent.registration["broker"]["url"])
    _agent = agent
    return agent


def _work_until_there_is_a_broker(agent: Agent) -> None:
    """The hub has a broker that is away: until it is back the node asks for work now and then. Ends the process on a signal."""
    told = threading.Event()
    call_when_told_to_end(told.set)
    agent.start()
    while agent.registration.get("broker") is None:
        seconds = float(agent.registration.get("broker_retry_seconds") or 30)
        log.warning("the hub's broker is away: asking the hub for work meanwhile", extra={"again_in_seconds": seconds})
        if told.wait(seconds):
            agent.close()
            raise SystemExit(0)
        rejoin(agent)


def rejoin(agent: Agent) -> None:
    """Registers again, for what the hub says of the broker now; a hub that is away is asked another time."""
    try:
        agent.rejoin()
    except (NodeError, HubAway) as trouble:
        log.warning("the hub could not be asked for its broker", extra={"reason": str(trouble)})


def listen_at(node_app: Celery, url: str) -> None:
    """From its next connection on the app listens there; over TLS only where the certificate is that host's."""
    node_app.conf.broker_url = node_app.conf.broker_read_url = node_app.conf.broker_write_url = url
    if url.startswith("amqps://"):
        node_app.conf.broker_use_ssl = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}


@signals.worker_shutting_down.connect(weak=False)
def _drain(**_: Any) -> None:
    """SIGTERM: runs inside a signal handler, so only starts the drain."""
    if _agent is not None:
        threading.Thread(target=_agent.drain, name="drain").start()


@signals.worker_shutdown.connect(weak=False)
def _close(**_: Any) -> None:
    if _agent is not None:
        _agent.close()


app = make_app(read_settings())
