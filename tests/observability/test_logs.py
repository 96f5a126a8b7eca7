"""What a process says when things go wrong in it: one JSON object a line, whoever speaks, and none of the values in hand."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OURS = ("opentelemetry.sdk.trace", "opentelemetry.exporter")  # the Redis client loads more of it where it is installed
ROOT = Path(__file__).parent.parent.parent
CANARY = "canary-7f3a-do-not-log-me"
BEGIN = """
import gc, logging, sys, threading, warnings
from app.config import Settings
from app.observability import logs, uncaught
settings = Settings(secret_key="canary-7f3a-do-not-log-me", database_url=sys.argv[1])
logs.configure("INFO", settings)
uncaught.install()
"""
PLAIN = BEGIN + """
from sqlalchemy import text
from app import trail
from app.db import make_engine
import structlog
trail.begin(request_id="request-1", task="t")
warnings.warn("a warning")
logging.getLogger("somebody.else").error("%s", "a foreign line\\nof two lines with password=canary-7f3a-do-not-log-me")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
class Odd:
    def __del__(self): raise RuntimeError("in a destructor")
odd = Odd(); del odd; gc.collect()
with make_engine(settings).connect() as connection:
    for statement in ("SELECT CAST(:value AS uuid)", "SELECT nothing FROM nowhere WHERE a = :value"):
        try:
            connection.execute(text(statement), {"value": "canary-7f3a-do-not-log-me"})
        except Exception:
            connection.rollback()
            structlog.get_logger().exception("statement.failed", job_id="job-1")
raise ValueError(settings.secret_key)
"""
GREEN = "from gevent import monkey\nmonkey.patch_all()\n" + BEGIN + """
import gevent
def crash(): raise KeyError("canary-7f3a-do-not-log-me")
gevent.joinall([gevent.spawn(crash)])
gevent.get_hub().threadpool.spawn(lambda: 1 / 0)
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
"""
OF_NODE = """
import gc, logging, sys, threading, warnings
from gpu_node import scrubbing, trail
from gpu_node.attempts import Attempt, Job
from gpu_node.logs import log_uncaught, set_up_logging
from gpu_node.session import Limits
scrubbing.know(["canary-7f3a-do-not-log-me"])
set_up_logging("DEBUG"); log_uncaught()
warnings.warn("a warning")
logging.getLogger("httpcore.http11").debug("headers canary")
logging.getLogger("websockets.client").debug("> Authorization: canary")
job = Job("job-1", "render", {}, (), Limits(), None, "request-1", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")
attempt = Attempt("5c32adbc-6023-4686-a842-798b5f3e7b8f", 1, "unit-1", job, "frame", 1, 60.0, None)
def fail():
    with trail.at(attempt):
        logging.getLogger("gpu_node.x").debug("at work", extra={"url": "https://s3/x?X-Amz-Signature=canary-7f3a-do-not-log-me"})
        raise RuntimeError("canary-7f3a-do-not-log-me")
thread = threading.Thread(target=fail)
thread.start(); thread.join()
raise ValueError("canary-7f3a-do-not-log-me")
"""


def run(code: str, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert CANARY not in done.stdout + done.stderr and done.stderr, "a secret, or nothing, was said"
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert all({"timestamp", "level", "event"} <= line.keys() for line in found)
    return found


def test_whatever_goes_wrong_in_a_process_of_the_hub_is_a_line(database_url: str) -> None:
    found = run(PLAIN, database_url)
    events = [line["event"].split("\n")[0] for line in found]
    failed = ["statement.failed"] * 2
    assert events[0].endswith("UserWarning: a warning") and events[1:] == [
        "a foreign line", "thread.crashed", "object.crashed", *failed, "process.crashed"
    ]
    assert all(line["request_id"] == "request-1" for line in found if line["event"] in ("statement.failed", "process.crashed"))
    crashed = found[-1]
    assert "ValueError: ..." in crashed["exception"] and "ZeroDivisionError" in found[2]["exception"]
    assert "SQL parameters hidden" in found[-2]["exception"] or "hide_parameters" in found[-2]["exception"]


def test_whatever_goes_wrong_in_greenlets_is_a_line(database_url: str) -> None:
    found = run(GREEN, database_url)
    assert [line["event"] for line in found if line["event"] != "thread.crashed"].count("greenlet.crashed") >= 1
    said = [line["exception"] for line in found]
    assert any("KeyError: '...'" in text for text in said) and any("ZeroDivision" in text for text in said)


def test_whatever_goes_wrong_on_a_node_is_a_line_that_names_the_work() -> None:
    found = run(OF_NODE)
    assert [line["event"] for line in found][1:] == ["at work", "a thread crashed", "the process crashed"]
    ids = {"job_id": "job-1", "unit_id": "unit-1", "request_id": "request-1", "trace_id": "a" * 32}
    assert ids.items() <= found[1].items() and found[1]["url"] == "https://s3/x?X-Amz-Signature=..."
    assert "RuntimeError: ..." in found[2]["exception"]


@pytest.mark.parametrize("name", ["app.factory, workers.sweeps, celery_app", "app.poller.process, app.signer.__main__"])
def test_nothing_of_tracing_is_loaded_where_nobody_traces(name: str) -> None:
    code = (
        f"import sys, {name}; from app import trail; from app.config import Settings; from app.observability import tracing\n"
        f"tracing.start(Settings(), 'api'); print(trail.tracer(), [name for name in sys.modules if name.startswith({OURS!r})])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None []"
