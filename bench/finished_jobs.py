"""(f) The throughput of (b) again, in a marketplace that has a hundred thousand finished jobs behind it."""

from collections.abc import Callable

from bench import unit_throughput
from bench.history import write_history
from bench.report import Part, Series, Verdict, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.stack import BenchStack
from bench.unit_throughput import Throughput

JOBS = 100_000
HOW = (
    "Two whole stacks, one with an empty database and one with {jobs:,} finished, paid and booked jobs in it, take "
    "turns at the work of (b); the one that waits is held still with SIGSTOP. The same code, the same fake nodes, the "
    "same Valkey and PostgreSQL settings."
)


def measure(options: Options) -> Part:
    jobs = options.size(JOBS, 2000)
    part = Part("f", f"(b) again at {jobs:,} finished jobs", HOW.format(jobs=jobs))
    singly, batched = options.size(1000, 60), options.size(3000, 200)
    with BenchStack() as empty, BenchStack() as full:
        write_history(full.database, jobs)
        hubs = {empty: Throughput(empty), full: Throughput(full)}
        for hub in hubs.values():
            hub.work(1, 50)
            hub.work(10, 200)
        empty.pause()
        full.pause()

        def side(stack: BenchStack, batch: int, units: int) -> Callable[[], float]:
            def turn() -> float:
                stack.resume()
                try:
                    return hubs[stack].work(batch, units)
                finally:
                    stack.pause()

            return turn

        sides = {
            "empty, singly": side(empty, 1, singly),
            "full, singly": side(full, 1, singly),
            "empty, batches": side(empty, 10, batched),
            "full, batches": side(full, 10, batched),
        }
        found = take_turns("(f) units per second", options.turns(4), sides)
    part.series = [Series(f"units, {name}", "/s", tuple(values)) for name, values in found.items()]
    one_empty, one_full, ten_empty, ten_full = part.series
    part.verdicts = [
        Verdict("singly, full ÷ empty", ratio_of_medians(one_full, one_empty), "≥", 0.9),
        Verdict("in batches of 10, full ÷ empty", ratio_of_medians(ten_full, ten_empty), "≥", 0.9),
    ]
    part.notes = [f"A job here has {unit_throughput.FRAMES} frames; the {jobs:,} finished ones have one each."]
    return part
