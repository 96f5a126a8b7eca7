"""Measures for about the given seconds, in a process of its own; prints one JSON object.

Run as `python child.py SECONDS`. Half the time one core hashes and counts, half of it all cores hash together.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

BLOCK = bytes(1 << 20)
STEPS = 20_000


def hash_for(seconds: float) -> tuple[int, float]:
    """Bytes hashed with SHA-256, and the seconds it took. Hashing a large block lets other threads run."""
    started, blocks = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        hashlib.sha256(BLOCK).digest()
        blocks += 1
    return blocks * len(BLOCK), time.perf_counter() - started


def count_for(seconds: float) -> float:
    """Multiplications and additions of the interpreter per second."""
    started, steps, value = time.perf_counter(), 0, 1.0
    while time.perf_counter() - started < seconds:
        for _ in range(STEPS):
            value = value * 1.0000001 + 1e-9
        steps += STEPS
    return 2 * steps / (time.perf_counter() - started) if value > 0 else 0.0


def measure(seconds: float) -> dict[str, object]:
    cores = len(os.sched_getaffinity(0))
    started = time.perf_counter()
    hashed, took = hash_for(seconds / 4)
    operations = count_for(seconds / 4)
    with ThreadPoolExecutor(cores) as pool:
        every = list(pool.map(hash_for, [seconds / 2] * cores))
    return {
        "benchmark": "cpu",
        "cpu_count": cores,
        "seconds": round(time.perf_counter() - started, 3),
        "sha256_bytes_per_second": round(hashed / took),
        "sha256_bytes_per_second_all_cores": round(sum(done / each for done, each in every)),
        "float_operations_per_second": round(operations),
        "python": sys.version.split()[0],
    }


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]))))
