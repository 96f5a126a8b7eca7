"""Which part of the hub's nodes one job may have at once, and the words for it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHUNK_SECONDS = 10.0  # of work that a node may have in hand or waiting for it, of one job
CHUNK_LEAST, CHUNK_MOST = 2, 20  # units: the one that it renders, and the next one
NEWCOMERS_PART = 0.25  # of all nodes, while others wait; a full reputation's is all of them


@dataclass(frozen=True, slots=True)
class Basis:
    """What a job's part is made of. `reputation` is its owner's, 0 to 1. `nodes` fit its scene; `free` of them do nothing now,
    `own` work for this job. `waiting` units of others stand in the queue. `memory_bytes` is what the scene needs (0: not known);
    `frame_seconds` is what a frame takes, or is expected to."""

    reputation: float
    nodes: int
    free: int
    memory_bytes: int
    frame_seconds: float
    own: int = 0
    waiting: int = 0

    @property
    def is_contested(self) -> bool:
        """Whether others wait for more than what is free."""
        return self.waiting > self.free


@dataclass(frozen=True, slots=True)
class Allocation:
    """`units_at_once` may be queued for nodes or with them; `words` say why, for the job's owner and for the next look at it."""

    units_at_once: int
    words: Mapping[str, Any]


def allocate(basis: Basis) -> Allocation:
    """While nobody else waits, every node that is free; else a part of all by the owner's reputation. Of each node a chunk by how
    long frames take.

    A newcomer has the least, and nobody less: a new identity is never better than the old one.
    """
    part = NEWCOMERS_PART + (1 - NEWCOMERS_PART) * min(1.0, max(0.0, basis.reputation))
    entitled = math.ceil(basis.nodes * part)
    nodes = max(1, entitled, 0 if basis.is_contested else min(basis.nodes, basis.free + basis.own))
    chunk = _chunk(basis.frame_seconds)
    words = {
        "reputation": round(basis.reputation, 4),
        "nodes_fitting": basis.nodes,
        "nodes_free": basis.free,
        "nodes": nodes,
        "units_per_node": chunk,
        "units_at_once": nodes * chunk,
        "scene_memory_bytes": basis.memory_bytes,
        "frame_seconds": round(basis.frame_seconds, 3),
        "explanation": _explain(basis, nodes, chunk),
    }
    return Allocation(nodes * chunk, words)


def _chunk(frame_seconds: float) -> int:
    """Units for one node: many that are short, so that it need not ask for each; few that are long, so that a lost host loses
    little and others get their part."""
    fitting = CHUNK_SECONDS / max(frame_seconds, 1e-3)
    return int(min(CHUNK_MOST, max(CHUNK_LEAST, fitting)))


def _explain(basis: Basis, nodes: int, chunk: int) -> str:
    scene = f"a scene of about {basis.memory_bytes / 2**30:.1f} GiB" if basis.memory_bytes else "the scene"
    if basis.nodes == 0:
        return f"no node that fits {scene} is there now; the part is for one, and grows when some come"
    there = f"nodes that fit {scene}: {basis.nodes}, free now: {basis.free}"
    why = f"others wait, so a reputation of {basis.reputation:.2f} counts" if basis.is_contested else "nobody else waits"
    part = f"this job may have {nodes} of them, {chunk} units at once for each, at {basis.frame_seconds:.1f} s a frame"
    return f"{there}; {why}; {part}"
