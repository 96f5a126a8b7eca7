"""RenderTrust's words are one total function of our three states."""

from itertools import product

import pytest

from app.api.rendertrust import job_states
from app.values.states import JobState, PaymentState, UnitState

ALL = list(product(PaymentState, UnitState, JobState))


def test_every_combination_has_exactly_one_word() -> None:
    assert len(ALL) == 4 * 7 * 5
    assert {job_states.word(*states) for states in ALL} == set(job_states.WORDS)
    found = [states for wanted in job_states.WORDS for states in job_states.states_of(wanted)]
    assert sorted(found) == sorted(ALL)


@pytest.mark.parametrize(
    ("payment", "unit", "job", "word"),
    [
        ("pending", "queued", "open", "QUEUED"),
        ("confirmed", "queued", "open", "QUEUED"),
        ("confirmed", "assigned", "open", "DISPATCHED"),
        ("confirmed", "rendering", "open", "RUNNING"),
        ("confirmed", "uploaded", "open", "RUNNING"),
        ("confirmed", "completed", "open", "RUNNING"),
        ("confirmed", "rendering", "paused", "RUNNING"),
        ("confirmed", "completed", "completed", "COMPLETED"),
        ("refunded", "failed", "failed", "FAILED"),
        ("confirmed", "completed", "failed", "FAILED"),
        ("refunded", "cancelled", "cancelled", "FAILED"),
        ("pending", "queued", "cancelled", "FAILED"),
    ],
)
def test_the_words(payment: str, unit: str, job: str, word: str) -> None:
    assert job_states.word(PaymentState(payment), UnitState(unit), JobState(job)) == word
