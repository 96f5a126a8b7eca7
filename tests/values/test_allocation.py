"""Which part of the nodes a render may have."""

import pytest

from app.values.allocation import Basis, allocate


@pytest.mark.parametrize(
    ("basis", "nodes", "chunk"),
    [
        (Basis(0.0, 8, 8, 0, 60.0), 8, 2),  # nobody else waits: all that are free
        (Basis(0.0, 8, 5, 0, 60.0, own=3), 8, 2),  # and those that are its own
        (Basis(0.0, 8, 0, 0, 60.0, own=8), 8, 2),
        (Basis(0.0, 8, 2, 0, 60.0, own=3, waiting=3), 2, 2),  # others wait: a newcomer's part
        (Basis(0.5, 8, 2, 0, 60.0, own=3, waiting=3), 5, 2),
        (Basis(1.0, 8, 0, 0, 60.0, waiting=1), 8, 2),
        (Basis(0.0, 8, 3, 0, 60.0, waiting=3), 3, 2),  # what waits fits what is free
        (Basis(0.0, 0, 0, 0, 60.0), 1, 2),
        (Basis(0.0, 1, 1, 0, 1.0), 1, 10),  # short frames are handed out by the handful
        (Basis(0.0, 1, 1, 0, 0.0), 1, 20),
    ],
)
def test_the_part(basis: Basis, nodes: int, chunk: int) -> None:
    found = allocate(basis)
    assert (found.words["nodes"], found.words["units_per_node"], found.units_at_once) == (nodes, chunk, nodes * chunk)


def test_a_better_reputation_never_has_less_and_it_is_explained() -> None:
    parts = [allocate(Basis(score / 20, 12, 2, 2**31, 5.0, own=1, waiting=9)) for score in range(21)]
    units = [part.units_at_once for part in parts]
    assert units == sorted(units) and units[0] < units[-1]
    said = parts[10].words["explanation"]
    assert "2.0 GiB" in said and "reputation of 0.50" in said
