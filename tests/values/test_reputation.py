"""A reputation is earned by good work over time, and by nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from app.values import reputation
from app.values.reputation import lower_bound, score

weights = st.floats(0, 1e6)
days = st.integers(0, 10_000)


@given(weights, weights, days)
def test_nobody_is_below_a_newcomer_so_a_new_identity_gains_nothing(good: float, bad: float, at_work: int) -> None:
    assert score(0, 0, 0) == score(0, bad, at_work) == score(good, bad, 0) == 0.0
    assert 0.0 <= score(good, bad, at_work) < 1.0


@given(weights, weights, st.floats(0.01, 1e5), days)
def test_good_work_never_lowers_it_and_bad_work_never_raises_it(good: float, bad: float, more: float, at_work: int) -> None:
    assert lower_bound(good + more, bad) >= lower_bound(good, bad) - 1e-9
    assert lower_bound(good, bad + more) <= lower_bound(good, bad) + 1e-9
    assert score(good, bad, at_work + 1) >= score(good, bad, at_work)


def test_known_bounds() -> None:
    """Wilson's formula worked by hand: 10 of 10 is n / (n + z²); half of 100 is 0.5 - z / 2 · sqrt(1 / (n + z²))."""
    assert abs(lower_bound(10, 0) - 10 / (10 + 1.6449**2)) < 1e-9
    assert abs(lower_bound(50, 50) - (0.5 - 1.6449 / 2 * (1 / (100 + 1.6449**2)) ** 0.5)) < 1e-9
    assert score(10, 0, reputation.DAYS_TO_HALF) == lower_bound(10, 0) / 2
