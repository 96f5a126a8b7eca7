"""(l) Cold start of the API, and coming back after kill -9."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psutil

from app.core import jobs, payments
from app.models.payments import Payment
from app.stack.ports import free_port
from app.stack.supervisor import WELL_AFTER_SECONDS
from bench import seeding
from bench.report import Part, Series, Verdict
from bench.rounds import Options, take_turns
from bench.stack import ROOT, BenchError, BenchStack
from devnet.payer import Payer

MOST_COLD_SECONDS, MOST_RECOVERY_SECONDS, PATIENCE_SECONDS = 2.0, 5.0, 60.0
ROLES = ("api", "worker", "valkey")
HOW = (
    "Cold start: a second gunicorn with two gevent workers is executed beside a stack whose database and Valkey are up and "
    "whose other processes are held still; from the exec to the first 200 on `/health`. Recovery: kill -9 of a role with all "
    "its processes, under the supervisor of `lightyard up`, of a role that has run for half a minute (else its back-off is "
    "longer). The API is back with the first `/stats` that answers 200 (it asks PostgreSQL). The worker and Valkey are back "
    "when a payment is booked that was sent to the local chain just after the kill and that nobody announces: beat, Valkey and "
    "a hub worker all have to do their part. The same payment without any kill is beside them."
)


def measure(options: Options) -> Part:
    part = Part("l", "Cold start of the API, and coming back after kill -9", HOW)
    with BenchStack(API_WORKERS="2") as stack:
        with _only_servers(stack):
            colds = take_turns("(l) cold starts", max(3, options.rounds), {"cold": lambda: _cold_start(stack)})["cold"]
        desk = _Desk(stack)
        sides: dict[str, Callable[[], float]] = {"no kill": desk.book}
        sides |= {role: _killed(stack, role, desk) for role in ROLES}
        found = take_turns("(l) kills", options.turns(3), sides)
    cold = Series("exec of gunicorn to the first 200 on /health", "s", tuple(colds), 2)
    names = {"no kill": "a payment booked, nothing killed"} | {role: f"back after kill -9 of {role}" for role in ROLES}
    series = {side: Series(names[side], "s", tuple(values), 2) for side, values in found.items()}
    part.series = [cold, *series.values()]
    part.verdicts = [Verdict("seconds of a cold start", cold.median, "≤", MOST_COLD_SECONDS)]
    for role in ROLES:
        worst = max(series[role].values)
        part.verdicts.append(Verdict(f"seconds without {role}, the longest", worst, "≤", MOST_RECOVERY_SECONDS))
    return part


@contextmanager
def _only_servers(stack: BenchStack) -> Iterator[None]:
    """The database, Valkey and the chain go on; the hub's own processes cost nothing meanwhile."""
    stack.pause("api", "worker", "beat", "poller", "signer")
    try:
        yield
    finally:
        stack.resume()


def _cold_start(stack: BenchStack) -> float:
    port = free_port()
    environment = {
        **os.environ,
        "LIGHTYARD_HOME": str(stack.home),
        "DATABASE_URL": stack.endpoints["database_url"],
        "REDIS_URL": stack.endpoints["redis_url"],
        "SOLANA_RPC_URL": stack.endpoints["solana_rpc_url"],
        "SECRET_KEY": (stack.home / "secret.key").read_text(),
        "PORT": str(port),
        "API_WORKERS": "2",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:app.serving", "wsgi:app"]
    began = time.perf_counter()
    with (stack.home / "cold.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _until_answers(f"http://127.0.0.1:{port}/health", process)
        return time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _until_answers(url: str, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            if process is not None and process.poll() is not None:
                raise BenchError(f"gunicorn ended with {process.returncode}") from None
        if time.monotonic() > deadline:
            raise BenchError(f"{url} did not answer in {PATIENCE_SECONDS} s")
        time.sleep(0.01)


class _Desk:
    """Orders jobs and pays them on the chain; the hub has to find out."""

    def __init__(self, stack: BenchStack) -> None:
        self._stack, self._payer = stack, Payer(stack.endpoints["solana_rpc_url"])
        self._payer.airdrop(10**12)
        self._scene_id = seeding.make_scene(stack.database)

    def order(self) -> Payment:
        with self._stack.database.unit_of_work() as session:
            provider = seeding.local_provider(session)
            job = jobs.submit(session, seeding.order(provider, self._scene_id, 1))
            return payments.ask(session, job, provider.wallet, "solana", "bench:")

    def book(self, before: Callable[[], None] = lambda: None) -> float:
        """Seconds from `before` (a kill) until what is paid just after it is booked."""
        payment = self.order()
        began = time.perf_counter()
        before()
        self._payer.pay(payment.pay_to, payment.amount_minor, payment.memo)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_booked(payment.id):
            if time.monotonic() > deadline:
                raise BenchError(f"a payment was not booked in {PATIENCE_SECONDS} s")
            time.sleep(0.02)
        return time.perf_counter() - began

    def _is_booked(self, payment_id: uuid.UUID) -> bool:
        with self._stack.database.unit_of_work() as session:
            return session.get_one(Payment, payment_id).state == "confirmed"


def _killed(stack: BenchStack, role: str, desk: _Desk) -> Callable[[], float]:
    def kill() -> None:
        for process in stack.processes_of(role):
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue  # it went with its parent

    def settle() -> None:
        """Until the supervisor believes that it runs well."""
        (oldest, *_) = stack.processes_of(role)
        time.sleep(max(0.0, WELL_AFTER_SECONDS + 1 - (time.time() - oldest.create_time())))

    def api() -> float:
        settle()
        began = time.perf_counter()
        kill()
        _until_answers(f"{stack.api_url}/stats")
        return time.perf_counter() - began

    def others() -> float:
        settle()
        return desk.book(kill)

    return api if role == "api" else others
