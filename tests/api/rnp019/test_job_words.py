"""RNP-019's words are one total function of our three states."""

from itertools import product

import pytest

from app.api.rnp019 import job_words
from app.values.states import JobState, PaymentState, UnitState

ALL = list(product(PaymentState, UnitState, JobState))


def test_every_combination_has_exactly_one_word() -> None:
    assert {job_words.word(*states) for states in ALL} == set(job_words.WORDS)
    found = [states for wanted in job_words.WORDS for states in job_words.states_of(wanted)]
    assert sorted(found) == sorted(ALL)


@pytest.mark.parametrize(
    ("payment", "lead", "job", "word"),
    [
        ("pending", "queued", "open", "pending_payment"),
        ("none", "queued", "open", "pending_payment"),
        ("pending", "queued", "paused", "pending_payment"),
        ("confirmed", "queued", "open", "queued"),
        ("confirmed", "assigned", "open", "queued"),
        ("confirmed", "rendering", "open", "rendering"),
        ("confirmed", "completed", "open", "rendering"),
        ("confirmed", "rendering", "paused", "paused"),
        ("confirmed", "completed", "completed", "completed"),
        ("confirmed", "failed", "failed", "failed"),
        ("refunded", "failed", "failed", "failed"),
        ("refunded", "cancelled", "cancelled", "cancelled"),
        ("pending", "queued", "cancelled", "cancelled"),
    ],
)
def test_the_words(payment: str, lead: str, job: str, word: str) -> None:
    assert job_words.word(PaymentState(payment), UnitState(lead), JobState(job)) == word
