"""(b) Units through claim, upload, check and booking, against Celery tasks that do nothing."""

import time
from collections.abc import Callable

from bench import seeding
from bench.fake_node import FakeFarm
from bench.noop_worker import NoopWorker
from bench.report import Part, Series, Verdict, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.stack import BenchError, BenchStack

FRAMES = 10  # of a job, so that each batch of ten ends one job and books it
NODES = 8
HOW = (
    f"{NODES} fake nodes, each on one kept connection, against the whole stack as `lightyard up` starts it (2 gunicorn "
    "processes with gevent, PostgreSQL with its commits flushed, Valkey, hub worker, beat, local chain). A unit: its "
    "job is queued, it is claimed, a real PNG is put to its signed address (served beside the API, as an object store would; the "
    "last series sends it through the API instead), its bytes are hashed, decoded and "
    f"compared, and its job's fee is booked ({FRAMES} frames a job). Queueing the paid jobs is inside the time, as "
    "sending is inside the time of the Celery tasks. Celery: two processes of the default pool on the same Valkey, "
    "results ignored, tasks that do nothing."
)


class Throughput:
    """Units per second through one stack. `work(batch, units)` is one turn."""

    def __init__(self, stack: BenchStack, uploads_through_hub: bool = False) -> None:
        self._stack, self._farm = stack, FakeFarm(stack, NODES, uploads_through_hub)
        self._scene_id = seeding.make_scene(stack.database)

    def work(self, batch: int, units: int) -> float:
        """Units per second from the queueing to the last booking. BenchError if a job is not booked."""
        jobs = seeding.ordered_jobs(self._stack.database, self._scene_id, units // FRAMES, FRAMES)
        started = time.perf_counter()
        seeding.queue_jobs(self._stack.database, jobs)
        queued = time.perf_counter() - started
        done = self._farm.work(batch, units)
        missing = seeding.unbooked(self._stack.database, jobs)
        if missing:
            raise BenchError(f"{missing} of {len(jobs)} jobs were not completed and booked")
        return units / (queued + done.seconds)

    def cpu(self, batch: int, units: int) -> list[str]:
        """One more turn, for what a unit costs: a line for the notes."""
        before = {role: self._stack.cpu_seconds(role) for role in ("api", "postgres", "valkey")}
        self.work(batch, units)
        spent = {role: (self._stack.cpu_seconds(role) - before[role]) * 1000 / units for role in before}
        what = ", ".join(f"{role} {value:.2f} ms" for role, value in spent.items())
        return [f"CPU a unit, {'singly' if batch == 1 else f'in batches of {batch}'}: {what}"]


def measure(options: Options) -> Part:
    part = Part("b", "Units claimed, completed and booked per second", HOW)
    singly, batched, tasks = options.size(1000, 60), options.size(3000, 200), options.size(3000, 200)
    with BenchStack() as stack, NoopWorker(stack.endpoints["redis_url"]) as worker:
        hub = Throughput(stack)
        hub.work(1, 50)
        hub.work(10, 200)  # caches, connections and prepared statements
        through = Throughput(stack, uploads_through_hub=True)
        through.work(10, 200)
        sides: dict[str, Callable[[], tuple[float, float]]] = {
            "Celery": lambda: worker.work(tasks),
            "singly": lambda: (hub.work(1, singly), 0.0),
            "batches": lambda: (hub.work(10, batched), 0.0),
            "uploads": lambda: (through.work(10, singly), 0.0),
        }
        found = take_turns("(b) units per second", options.rounds, sides)
        part.notes = hub.cpu(1, singly) + hub.cpu(10, batched)
    rates = {name: tuple(turn[0] for turn in turns) for name, turns in found.items()}
    celery = Series("Celery tasks that do nothing, sent and run", "/s", rates["Celery"])
    one = Series("units, one a claim", "/s", rates["singly"])
    ten = Series("units, ten a claim", "/s", rates["batches"])
    uploads = Series("units, ten a claim, uploads through the API", "/s", rates["uploads"])
    part.series = [celery, one, ten, uploads]
    part.verdicts = [
        Verdict("units singly ÷ Celery no-op tasks", ratio_of_medians(one, celery), "≥", 0.4),
        Verdict("units in batches of 10 ÷ Celery no-op tasks", ratio_of_medians(ten, celery), "≥", 1.0),
    ]
    return part
