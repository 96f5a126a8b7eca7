"""RoboCompute's words, prices and resources."""

from itertools import product

import pytest

from app.errors import InvalidInput
from app.values import task_resources
from app.values.money import Money
from app.values.states import JobState, PaymentState, UnitState
from app.values.task_prices import cost, whole_seconds
from app.values.task_states import WORDS, states_of, word

P, U, J = PaymentState, UnitState, JobState


def test_every_combination_of_states_has_one_word_and_is_found_by_it() -> None:
    found = {states: word(*states) for states in product(P, U, J, (False, True))}
    assert set(found.values()) == set(WORDS)
    assert sorted((states, name) for name in WORDS for states in states_of(name)) == sorted(found.items())


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((P.PENDING, U.RENDERING, J.OPEN, False), "pending"),
        ((P.CONFIRMED, U.QUEUED, J.OPEN, False), "pending"),
        ((P.CONFIRMED, U.ASSIGNED, J.OPEN, False), "accepted"),
        ((P.CONFIRMED, U.RENDERING, J.OPEN, True), "running"),
        ((P.CONFIRMED, U.UPLOADED, J.OPEN, False), "running"),
        ((P.CONFIRMED, U.COMPLETED, J.COMPLETED, True), "completed"),
        ((P.REFUNDED, U.FAILED, J.FAILED, False), "failed"),
        ((P.CONFIRMED, U.CANCELLED, J.FAILED, True), "timeout"),
        ((P.REFUNDED, U.CANCELLED, J.CANCELLED, True), "cancelled"),
    ],
)
def test_the_word_is_the_one_that_its_users_expect(states: tuple, expected: str) -> None:
    assert word(*states) == expected


@pytest.mark.parametrize(
    ("minor", "seconds", "expected"), [(3600, 1, 1), (3601, 1, 2), (1, 1, 1), (1, 0, 0), (36_000_000, 3600, 36_000_000)]
)
def test_a_begun_minor_unit_counts_whole(minor: int, seconds: int, expected: int) -> None:
    assert cost(Money(minor, "USDC"), seconds) == Money(expected, "USDC")


def test_a_begun_second_counts_whole() -> None:
    assert [whole_seconds(value) for value in (-1.0, 0.0, 0.001, 1.0, 1.001)] == [0, 0, 1, 1, 2]


def test_what_is_left_out_is_little_and_a_gpu_task_has_one_gpu() -> None:
    found = task_resources.read("gpu", {"cpu_cores": 4, "gpu_memory_gb": 8, "ram_gb": 16, "storage_gb": 50, "more": "x"})
    assert (found.cpu_cores, found.gpu_count, found.gpu_memory_gb, found.ram_gb, found.storage_gb) == (4, 1, 8, 16, 50)
    assert task_resources.read("gpu", {}).gpu_memory_gb == 0
    assert task_resources.read("cpu", {"gpu_memory_gb": 0}).gpu_count == 0


NONE_HAS = (0, -1, 10**6, 1e-9, "4", True, [])


@pytest.mark.parametrize(
    ("kind", "wanted", "field"),
    [
        *[("cpu", {name: value}, name) for name in ("cpu_cores", "ram_gb", "storage_gb") for value in NONE_HAS],
        *[("gpu", {"gpu_count": value}, "gpu_count") for value in (0, -1, 10**6, 1.5, "1")],
        *[("gpu", {"gpu_memory_gb": value}, "gpu_memory_gb") for value in (0, -8, 10**6)],
        ("cpu", {"gpu_memory_gb": 8}, "gpu_memory_gb"),
        ("cpu", {"gpu_count": 1}, "gpu_count"),
    ],
)
def test_what_no_machine_has_is_refused_by_its_name(kind: str, wanted: dict, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        task_resources.read(kind, wanted)
    assert (refused.value.code, refused.value.details) == ("INVALID_RESOURCE_REQUIREMENTS", {"field": field})
