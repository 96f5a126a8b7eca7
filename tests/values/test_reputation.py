"""A reputation is earned by good work over time, and by nothing else."""

from itertools import product

from app.values import reputation
from app.values.reputation import lower_bound, score

WEIGHTS = (0.0, 1e-216, 1e-9, 0.01, 0.5, 1.0, 3.0, 10.0, 99.9, 1e3, 1e6, 1e12)  # faded for decades, and all that anybody does
DAYS = (0, 1, 7, 30, 10_000)


def test_nobody_is_below_a_newcomer_so_a_new_identity_gains_nothing() -> None:
    for good, bad, days in product(WEIGHTS, WEIGHTS, DAYS):
        assert score(0, 0, 0) == score(0, bad, days) == score(good, bad, 0) == 0.0, (good, bad)
        assert 0.0 <= score(good, bad, days) < 1.0, (good, bad, days)


def test_good_work_never_lowers_it_and_bad_work_never_raises_it() -> None:
    for good, bad, more in product(WEIGHTS, WEIGHTS, WEIGHTS):
        assert lower_bound(good + more, bad) >= lower_bound(good, bad) - 1e-9, (good, bad, more)
        assert lower_bound(good, bad + more) <= lower_bound(good, bad) + 1e-9, (good, bad, more)
    for good, bad, days in product(WEIGHTS, WEIGHTS, DAYS):
        assert score(good, bad, days + 1) >= score(good, bad, days)


def test_known_bounds() -> None:
    """Wilson's formula worked by hand: 10 of 10 is n / (n + z²); half of 100 is 0.5 - z / 2 · sqrt(1 / (n + z²))."""
    assert abs(lower_bound(10, 0) - 10 / (10 + 1.6449**2)) < 1e-9
    assert abs(lower_bound(50, 50) - (0.5 - 1.6449 / 2 * (1 / (100 + 1.6449**2)) ** 0.5)) < 1e-9
    assert score(10, 0, reputation.DAYS_TO_HALF) == lower_bound(10, 0) / 2
