"""What a process counts until it tells: from any thread, within bounds, and never lost between two reports."""

import threading

import pytest

from app import counts
from app.counts import Field


@pytest.fixture(autouse=True)
def nothing_yet() -> None:
    counts.take()


def test_a_histogram_counts_each_value_in_one_bucket() -> None:
    edges = counts.FAMILIES["task_seconds"].buckets
    for value in (0.0, edges[0], edges[0] * 1.01, edges[-1], edges[-1] * 2):
        counts.observe("task_seconds", value, "hub.sweep")
    taken = counts.take()
    parts = {field.part: amount for field, amount in taken.items()}
    assert parts.pop("sum") == pytest.approx(edges[0] * 2.01 + edges[-1] * 3)
    assert parts == {"0": 2, "1": 1, str(len(edges) - 1): 1, str(len(edges)): 1}, "an edge is in the bucket that it ends"
    assert counts.take() == {}


def test_what_could_not_be_told_is_told_later_with_what_came_meanwhile() -> None:
    counts.add("attempts", "lost", amount=2)
    taken = counts.take()
    counts.add("attempts", "lost")
    counts.give_back(taken)
    assert counts.take() == {Field("attempts", ("lost",)): 3}


def test_labels_that_nobody_thought_of_are_one_series() -> None:
    for label in ("a|b", "", "x" * 65, 'a"b', "a\nb", "é"):
        counts.add("tasks_expired", label)
    assert counts.take() == {Field("tasks_expired", ("other",)): 6}


def test_more_series_than_there_can_be_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_series", {})
    for number in range(counts.MOST_SERIES + 50):
        counts.add("task_retries", f"task{number}")
    taken = counts.take()
    assert len(taken) == counts.MOST_SERIES + 1 and taken[Field("task_retries", ("other",))] == 50


def test_a_block_is_timed_however_it_ends() -> None:
    with pytest.raises(ValueError), counts.timed("payout_seconds", "ton"):
        raise ValueError
    with counts.timed("payout_seconds", "ton"):
        pass
    taken = counts.take()
    assert taken[Field("payout_seconds", ("ton",), "0")] == 2


def test_threads_that_count_and_one_that_takes_lose_nothing() -> None:
    told, ended = list[float](), threading.Event()

    def take() -> None:
        while not ended.is_set():
            told.append(sum(counts.take().values()))

    taker = threading.Thread(target=take)
    adders = [threading.Thread(target=lambda: [counts.add("attempts", "failed") for _ in range(5000)]) for _ in range(4)]
    for thread in (taker, *adders):
        thread.start()
    for thread in adders:
        thread.join()
    ended.set()
    taker.join()
    assert sum(told) + sum(counts.take().values()) == 20_000
