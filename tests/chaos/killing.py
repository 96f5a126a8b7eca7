"""Kills whatever runs in a home, at random."""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import psutil
from tqdm import tqdm

# How often each is chosen. The chain keeps a journal, PostgreSQL its log; Valkey may lose every message.
WEIGHTS = {"api": 4, "worker": 3, "beat": 1, "poller": 1, "node": 4, "valkey": 1, "postgres": 1, "devnet": 1}


def kill_something(home: Path, chance: random.Random, weights: Mapping[str, int] = WEIGHTS) -> str | None:
    """kill -9 one process of a random role: the supervised one itself, or one of its children."""
    processes = json.loads((home / "processes.json").read_text())
    roles = [role for role in weights if processes.get(role)]
    if not roles:
        return None
    role = chance.choices(roles, [weights[role] for role in roles])[0]
    try:
        process = psutil.Process(chance.choice(processes[role]))
        victim = chance.choice([process, *process.children(recursive=role != "postgres")])
        victim.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return None
    return role


def kill_until(
    until: float, homes: Mapping[Path, int], chance: random.Random, weights: Mapping[str, int] = WEIGHTS
) -> Counter[str]:
    """Every few seconds something, in one of these homes (weighed), until then; how often what was killed."""
    kills: Counter[str] = Counter()
    with tqdm(total=round(until - time.monotonic()), unit="s", desc="killing") as bar:
        while time.monotonic() < until:
            pause = chance.uniform(1, 6)
            time.sleep(pause)  # the pace of the faults, not a wait for anything
            bar.update(round(pause))
            home = chance.choices(list(homes), list(homes.values()))[0]
            role = kill_something(home, chance, weights)
            if role is not None:
                kills[role] += 1
    return kills
