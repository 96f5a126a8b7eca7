"""Merkle trees as RFC 6962 defines them: SHA-256, 0x00 before a leaf, 0x01 before a node, no leaf ever doubled."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Step:
    """One level of a proof: the sibling's hash, and the side on which the sibling stands."""

    sibling: bytes
    side: Side


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The tree's head; that of no leaves is the hash of nothing."""
    if not leaf_hashes:
        return sha256().digest()
    level = list(leaf_hashes)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def path(leaf_hashes: Sequence[bytes], index: int) -> list[Step]:
    """The siblings from a leaf up to the root. IndexError for a leaf that is not there."""
    if not 0 <= index < len(leaf_hashes):
        raise IndexError(f"leaf {index} of {len(leaf_hashes)}")
    level, steps = list(leaf_hashes), list[Step]()
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            steps.append(Step(level[sibling], "left" if sibling < index else "right"))
        level, index = _parents(level), index // 2
    return steps


def _parents(level: Sequence[bytes]) -> list[bytes]:
    """One level up. A last node without a sibling goes up as it is, which gives the RFC's left-heavy shape."""
    pairs = [node_hash(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
    return [*pairs, level[-1]] if len(level) % 2 else pairs


def sides(index: int, size: int) -> list[Side]:
    """On which sides the siblings of a leaf stand in a tree of this size, from the leaf up: a proof has no choice there."""
    found, last = list[Side](), size - 1
    while last > 0:
        if index % 2:
            found.append("left")
        elif index < last:
            found.append("right")
        index, last = index // 2, last // 2
    return found


def is_included(leaf: bytes, index: int, size: int, steps: Sequence[Step], expected_root: bytes) -> bool:
    """Whether the leaf hash `leaf` is number `index` (from 0) of the tree of `size` leaves with this root."""
    if not 0 <= index < size or [step.side for step in steps] != sides(index, size):
        return False
    found = leaf
    for step in steps:
        found = node_hash(step.sibling, found) if step.side == "left" else node_hash(found, step.sibling)
    return found == expected_root
