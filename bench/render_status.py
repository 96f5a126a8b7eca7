"""(p) The status of a render, in a marketplace of a thousand renders and of a hundred thousand."""

import random
import statistics
import time
import uuid
from collections.abc import Callable

from sqlalchemy import func, select, text

from app.db import Database
from app.models.jobs import Job
from bench.agents import Agent
from bench.report import Part, Series, Verdict, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.stack import BenchStack

FEW, MANY = 1000, 100_000
HOW = (
    "Two whole stacks, whose one agent has {few:,} and {many:,} finished renders of ten frames, take turns; the one that waits "
    "is held still with SIGSTOP. Each turn asks for the status of {count} renders, at random, on one kept connection, one "
    "after another; the figure is its median."
)
_JOBS = text("""
INSERT INTO jobs (id, dialect, kind, name, account_id, scene_id, state, payment_state, settings, breakdown, price_minor, asset,
    priority, tier, units_total, units_completed, render_seconds, created_at, paid_at, started_at, ended_at)
SELECT gen_random_uuid(), 'rnp019', 'render', 'past', :account_id, :scene_id, 'completed', 'confirmed',
    '{"width": 8, "height": 6, "samples": 1, "engine": "cycles", "output_format": "PNG",
      "frame_list": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}',
    '{}', 1000, 'RCREDIT', 0, 'priority', 10, 10, 15, at, at, at, at
FROM (SELECT now() - make_interval(secs => 3600 + n) AS at FROM generate_series(1, :count) AS n) past
""")
_ORDERS = text("""
INSERT INTO render_orders (job_id, account_id, mode, rate, rate_source, price_per_hour_minor, bound_minor, limit_minor,
    charged_minor, window_units, allocation, settled_at)
SELECT id, account_id, 'credits', 1, 'par', 100, 1000, 1000, 500, 4, '{}', ended_at FROM jobs WHERE dialect = 'rnp019'
""")
_UNITS = text("""
INSERT INTO work_units (id, job_id, ordinal, kind, frame, capability, priority, is_parked, state, queued_at, fence, attempt_id,
    progress, failures, losses, blocked_nodes, result_key, seconds, cost_minor, completed_at)
SELECT gen_random_uuid(), id, frame - 1, 'frame', frame, 'render', 0, false, 'completed', ended_at, 1, gen_random_uuid(), 1, 0, 0,
    '{}', 'accepted/past', 1.5, 50, ended_at FROM jobs CROSS JOIN generate_series(1, 10) AS frame WHERE dialect = 'rnp019'
""")


def measure(options: Options) -> Part:
    few, many, count = options.size(FEW, 100), options.size(MANY, 1000), options.size(400, 40)
    part = Part("p", f"A render's status at {many:,} renders", HOW.format(few=few, many=many, count=count))
    with BenchStack() as small, BenchStack() as large:
        sides: dict[str, Callable[[], float]] = {}
        for stack, jobs in ((small, few), (large, many)):
            agent = Agent(stack)
            ids = write_renders(stack.database, agent.account_id, agent.scene_id, jobs)
            sides[f"{jobs:,} renders"] = _side(stack, agent, ids, count)
        small.pause()
        large.pause()
        for side in sides.values():
            side()  # caches, connections and prepared statements
        found = take_turns("(p) statuses", options.rounds, sides)
    of_few, of_many = (Series(f"p50 of a status among {name}", "ms", tuple(values), 2) for name, values in found.items())
    part.series = [of_few, of_many]
    part.verdicts = [Verdict("among many ÷ among few", ratio_of_medians(of_many, of_few), "≤", 1.25)]
    return part


def write_renders(database: Database, account_id: uuid.UUID, scene_id: uuid.UUID, count: int) -> list[str]:
    """Finished renders of ten frames of an account, straight into the tables; without books, which a status does not read.
    Returns the ids of some, drawn at random: neighbours in an index would share its pages."""
    with database.unit_of_work() as session:
        session.execute(text("SET LOCAL statement_timeout = 0"))
        session.execute(_JOBS, {"account_id": account_id, "scene_id": scene_id, "count": count})
        session.execute(_ORDERS)
        session.execute(_UNITS)
        ids = session.scalars(select(Job.id).where(Job.account_id == account_id).order_by(func.random()).limit(5000))
        found = [str(job_id) for job_id in ids]
    with database.unit_of_work() as session:
        session.execute(text("ANALYZE"))
    return found


def _side(stack: BenchStack, agent: Agent, ids: list[str], count: int) -> Callable[[], float]:
    """A turn: the median of a status, in milliseconds."""
    dice = random.Random(1)

    def ask() -> float:
        job_id = dice.choice(ids)
        started = time.perf_counter()
        agent.job(job_id)
        return (time.perf_counter() - started) * 1000

    def turn() -> float:
        stack.resume()
        try:
            return statistics.median(ask() for _ in range(count))
        finally:
            stack.pause()

    return turn
