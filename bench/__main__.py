"""`python -m bench [a … p] [--rounds N] [--quick]`: measures, and writes bench/RESULTS.md after every part."""

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from app import outbox
from app.observability import logs
from bench import (
    doorbell,
    finished_jobs,
    http_requests,
    payouts,
    recovery,
    relay,
    render_job,
    render_scaling,
    render_status,
    sdk_calls,
    transfers,
    unit_throughput,
    verification,
    worker_exposition,
    worker_history,
    worker_polls,
)
from bench.report import RESULTS, Part, conditions, write
from bench.rounds import Options

PARTS: dict[str, Callable[[Options], Part]] = {
    "a": render_job.measure,
    "b": unit_throughput.measure,
    "c": doorbell.measure,
    "d": http_requests.measure,
    "e": verification.measure,
    "f": finished_jobs.measure,
    "g": relay.measure,
    "h": transfers.measure,
    "i": worker_polls.measure,
    "j": worker_exposition.measure,
    "k": worker_history.measure,
    "l": recovery.measure,
    "m": payouts.measure,
    "n": sdk_calls.measure,
    "o": render_scaling.measure,
    "p": render_status.measure,
}


def run_part(letter: str, options: Options) -> Part:
    """One part; what goes wrong in it is its result, and the other parts go on."""
    outbox.connect(None)  # an earlier part's broker is gone: nothing is to be rung there
    started = time.perf_counter()
    try:
        part = PARTS[letter](options)
    except Exception as error:
        traceback.print_exc()
        title = (sys.modules[PARTS[letter].__module__].__doc__ or letter).splitlines()[0].partition(") ")[2]
        part = Part(letter, title, "", error=f"{type(error).__name__}: {error}")
    part.seconds = time.perf_counter() - started
    return part


def main() -> int:
    reader = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    which = f"{' '.join(PARTS)}; all of them without any"
    reader.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=which)
    reader.add_argument("--rounds", type=int, default=5, help="turns of each side (5)")
    reader.add_argument("--quick", action="store_true", help="small and few turns: does the bench work?")
    reader.add_argument("--output", type=Path, default=RESULTS, help="file to write")
    chosen = reader.parse_args()
    logs.configure("WARNING")  # what the hub's verbs say of each job would bury the progress
    options = Options(rounds=1 if chosen.quick else max(1, chosen.rounds), quick=chosen.quick)
    letters = chosen.parts or list(PARTS)
    head, parts = conditions(options.quick, options.rounds), list[Part]()
    for number, letter in enumerate(letters, 1):
        print(f"part ({letter}), {number} of {len(letters)} ...", flush=True)
        parts.append(run_part(letter, options))
        print(parts[-1].text(), flush=True)
        write(parts, head, chosen.output)
    print(f"written to {chosen.output}")
    return 1 if any(part.error for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
