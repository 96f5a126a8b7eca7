"""(d) `POST /render` and a job's status, against a Flask echo of the same body."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from sqlalchemy import event

from app.factory import create_app
from app.stack.ports import free_port
from bench.report import ROOT, Part, Series, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.scenes import make_scenes
from bench.stack import BenchError, BenchStack
from bench.wire import Connection, WireError

CLIENTS = 8
START_SECONDS = 30.0
HOW = (
    f"{CLIENTS} clients, each on one kept connection, without limits per minute. The hub: 2 gunicorn processes with "
    "gevent. The echo: the same 2 gunicorn processes with gevent, a Flask app of two views that reads the same form "
    "and file and answers as many bytes. The scene is the project's turntable.blend; the hub checks it, stores it on "
    "disk for good, prices and writes the job."
)


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    body: bytes
    headers: str
    status: int


@dataclass(frozen=True)
class Load:
    """What a load showed: requests per second, and CPU milliseconds of the API's processes and of PostgreSQL a request."""

    per_second: float
    api_ms: float
    postgres_ms: float = 0.0


def measure(options: Options) -> Part:
    part = Part("d", "`POST /render` and status against a Flask echo", HOW)
    submits, statuses = options.size(400, 24), options.size(1600, 80)
    with BenchStack() as stack:
        order = _order(make_scenes(["turntable"])["turntable"].read_bytes())
        answer = _ask(Connection(stack.api_url), order)
        status = Request("GET", f"/render/{json.loads(answer)['payment']['jobId']}", b"", "", 200)
        shown = _ask(Connection(stack.api_url), status)
        counted = _queries(stack, order, status)
        with _echo(len(answer), len(shown)) as (echo_url, echo_pid):
            sides = {
                "quotes": lambda: _hub_load(stack, order, submits),
                "quotes echoed": lambda: _echo_load(echo_url, echo_pid, order, submits),
                "statuses": lambda: _hub_load(stack, status, statuses),
                "statuses echoed": lambda: _echo_load(echo_url, echo_pid, status, statuses),
            }
            for side in sides.values():
                side()  # caches and connections
            found = take_turns("(d) requests per second", options.rounds, sides)
    for name, loads in found.items():
        part.series.append(Series(name, "/s", tuple(load.per_second for load in loads)))
        part.series.append(Series(f"{name}, CPU a request in the web processes", "ms", tuple(load.api_ms for load in loads), 2))
        if "echoed" not in name:
            spent = tuple(load.postgres_ms for load in loads)
            part.series.append(Series(f"{name}, CPU a request in PostgreSQL", "ms", spent, 2))
    rates = {item.name: item for item in part.series}
    for name in ("quotes", "statuses"):
        share = ratio_of_medians(rates[name], rates[f"{name} echoed"])
        part.notes.append(f"{name}: {share:.3f} of the echo's rate (no target); {counted[name]} SQL statements a request")
    part.notes.append(f"the order has {len(order.body):,} bytes, its quote {len(answer):,}, a status {len(shown):,}")
    return part


def _order(scene: bytes) -> Request:
    mark = uuid.uuid4().hex
    settings = '{"resolution":{"width":64,"height":48},"samples":4}'
    fields = {"clientWallet": "11111111111111111111111111111112", "settings": settings}
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()]
    file = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="scene.blend"\r\n\r\n'
    body = "".join(parts).encode() + file.encode() + scene + f"\r\n--{mark}--\r\n".encode()
    return Request("POST", "/render", body, f"Content-Type: multipart/form-data; boundary={mark}\r\n", 402)


def _ask(connection: Connection, wanted: Request) -> bytes:
    status, answer = connection.request(wanted.method, wanted.target, wanted.body, wanted.headers)
    if status != wanted.status:
        raise BenchError(f"{wanted.method} {wanted.target} answered {status}: {answer[:300]!r}")
    return answer


def _load(url: str, wanted: Request, count: int) -> float:
    """Requests per second over all clients."""
    connections = [Connection(url) for _ in range(CLIENTS)]
    errors: list[Exception] = []

    def run(connection: Connection) -> None:
        try:
            for _ in range(count // CLIENTS):
                _ask(connection, wanted)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(connection,)) for connection in connections]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    if errors:
        raise errors[0]
    return count // CLIENTS * CLIENTS / seconds


def _hub_load(stack: BenchStack, wanted: Request, count: int) -> Load:
    before = stack.cpu_seconds("api"), stack.cpu_seconds("postgres")
    rate = _load(stack.api_url, wanted, count)
    api, postgres = stack.cpu_seconds("api") - before[0], stack.cpu_seconds("postgres") - before[1]
    return Load(rate, api * 1000 / count, postgres * 1000 / count)


def _echo_load(url: str, pid: int, wanted: Request, count: int) -> Load:
    before = _cpu_seconds(pid)
    rate = _load(url, wanted, count)
    return Load(rate, (_cpu_seconds(pid) - before) * 1000 / count)


def _cpu_seconds(pid: int) -> float:
    parent = psutil.Process(pid)
    times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
    return sum(time.user + time.system for time in times)


@contextmanager
def _echo(quote_bytes: int, status_bytes: int) -> Iterator[tuple[str, int]]:
    """The echo under gunicorn, as many processes as the hub's: (address, pid)."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "2", "-b", f"127.0.0.1:{port}", "bench.echo:app"]
    environment = {**os.environ, "QUOTE_BYTES": str(quote_bytes), "STATUS_BYTES": str(status_bytes)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            Connection(f"http://127.0.0.1:{port}").request("GET", "/render/1")
            return
        except (OSError, WireError):
            if time.monotonic() > deadline:
                raise BenchError("the echo did not start") from None
            time.sleep(0.1)  # a server that boots tells nobody: ask again


def _queries(stack: BenchStack, order: Request, status: Request) -> dict[str, int]:
    """SQL statements that one request of each makes, counted in an app of this process on the same database."""
    app = create_app(stack.settings())
    engine, said = app.extensions["lightyard"].database.engine, list[str]()

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    counted = {}
    for name, wanted in (("quotes", order), ("statuses", status)):
        said.clear()
        kind = wanted.headers.partition(": ")[2].strip() or None
        answer = app.test_client().open(wanted.target, method=wanted.method, data=wanted.body or None, content_type=kind)
        if answer.status_code != wanted.status:
            raise BenchError(f"{wanted.method} {wanted.target} answered {answer.status_code}")
        counted[name] = len(said)
    engine.dispose()
    return counted
