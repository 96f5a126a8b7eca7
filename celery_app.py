"""The hub's Celery app: its queue, its tasks and the beat table."""

from celery.signals import (
    after_task_publish,
    beat_init,
    celeryd_init,
    heartbeat_sent,
    setup_logging,
    worker_init,
    worker_process_init,
    worker_shutdown,
)

from app import loading, pulse
from app.adapters.courier import CONFIRM_SECONDS
from app.config import load
from app.observability import logs, tasks, tracing, uncaught
from app.wiring import make_celery
from workers import telling

_settings = load()
app = make_celery(_settings)
app.conf.include = ["workers.tasks", "workers.sweeps", "workers.watches"]
telling.connect()
app.conf.beat_schedule = {
    "sweep": {"task": "hub.sweep", "schedule": 1.0, "options": {"expires": 5}},
    "payments": {"task": "hub.sweep_payments", "schedule": 1.0, "options": {"expires": 5}},
    "ton": {"task": "hub.sweep_ton", "schedule": 3.0, "options": {"expires": 5}},
    "pushes": {"task": "hub.sweep_pushes", "schedule": 5.0, "options": {"expires": 10}},
    "providers": {"task": "hub.sweep_providers", "schedule": 10.0, "options": {"expires": 10}},
    "allocations": {"task": "hub.sweep_allocations", "schedule": 5.0, "options": {"expires": 10}},
    "quotes": {"task": "hub.sweep_quotes", "schedule": 60.0, "options": {"expires": 60}},
    "uploads": {"task": "hub.sweep_uploads", "schedule": 3600.0, "options": {"expires": 600}},
    "scenes": {"task": "hub.sweep_scenes", "schedule": 30.0, "options": {"expires": 30}},
    "task logs": {"task": "hub.sweep_task_logs", "schedule": 3600.0, "options": {"expires": 600}},
    "renders": {"task": "hub.sweep_renders", "schedule": 3600.0, "options": {"expires": 600}},
    "audit": {"task": "hub.audit", "schedule": 3600.0, "options": {"expires": 600}},
    "proposals": {"task": "hub.sweep_proposals", "schedule": 300.0, "options": {"expires": 300}},
    "stakes": {"task": "hub.sweep_stakes", "schedule": 30.0, "options": {"expires": 30}},
    "billing": {"task": "hub.sweep_billing", "schedule": 60.0, "options": {"expires": 60}},
    "usd": {"task": "hub.sweep_usd", "schedule": 60.0, "options": {"expires": 60}},
    "anchors": {"task": "hub.sweep_anchors", "schedule": 5.0, "options": {"expires": 10}},
    "payouts": {"task": "hub.sweep_payouts", "schedule": 2.0, "options": {"expires": 5}},
    "x402": {"task": "hub.sweep_x402", "schedule": 2.0, "options": {"expires": 5}},
    "recorded payouts": {"task": "hub.look_up_payouts", "schedule": 15.0, "options": {"expires": 10}},
    "payout audit": {"task": "hub.audit_payouts", "schedule": 300.0, "options": {"expires": 60}},
    "watched queues": {"task": "hub.watch_queues", "schedule": 10.0, "options": {"expires": 10}},
    "watched nodes": {"task": "hub.watch_nodes", "schedule": 15.0, "options": {"expires": 15}},
    "watched chains": {"task": "hub.watch_chains", "schedule": 15.0, "options": {"expires": 15}},
    "watched money": {"task": "hub.watch_money", "schedule": 30.0, "options": {"expires": 30}},
    "books": {"task": "hub.keep_books", "schedule": 10.0, "options": {"expires": 30}},
}
for entry in app.conf.beat_schedule.values():
    entry["options"]["confirm_timeout"] = CONFIRM_SECONDS  # RabbitMQ may fall silent: beat tries again over another connection


@celeryd_init.connect  # a worker's first words come before it sets its logs up
@setup_logging.connect
def configure_logs(**_: object) -> None:
    """Celery logs like the rest of the hub."""
    settings = load()
    logs.configure(logs.level_of(settings), settings)
    uncaught.install()


@worker_init.connect
@worker_process_init.connect
def begin_tracing(**_: object) -> None:
    """Before the first task, in the process that runs it."""
    tracing.start(load(), "worker")


@worker_shutdown.connect
def end_tracing(**_: object) -> None:
    """What is not sent yet is sent."""
    tracing.stop()


tasks.install()


@heartbeat_sent.connect
def worker_turns(**_: object) -> None:
    """Every two seconds, as long as the worker has its broker."""
    pulse.touch(_settings.pulse_folder, "worker")


@beat_init.connect
def watch_beat(**_: object) -> None:
    """From here on this process is beat, and turns whenever it has sent something."""
    after_task_publish.connect(beat_turns)


def beat_turns(**_: object) -> None:
    """The broker took a message from beat."""
    pulse.touch(_settings.pulse_folder, "beat")


loading.done()
