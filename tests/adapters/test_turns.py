"""One sweep at a time, and none waits out the turn of a sweep that is over."""

from pathlib import Path
from typing import Any

import pytest
import redis

from app.adapters.turns import turn
from app.stack.valkey import Valkey
from app.wiring import connect_cache

LONGEST_SECONDS = 600  # a test that waited a turn out would be noticed


class Forgetful(redis.Connection):
    """Loses the answer to its first SET, and is cut: what a server that dies at the wrong moment looks like."""

    lost = 0

    def send_command(self, *args: Any, **options: Any) -> None:
        super().send_command(*args, **options)
        if args[0] == "SET" and not Forgetful.lost:
            Forgetful.lost += 1
            self.read_response()
            self.disconnect()
            raise redis.exceptions.ConnectionError("cut after the answer was sent")


def test_one_at_a_time_and_the_next_one_when_it_is_given_back(valkey: Valkey) -> None:
    one, other = connect_cache(valkey.url), connect_cache(valkey.url)
    with turn(one, "one at a time", LONGEST_SECONDS) as is_first:
        with turn(other, "one at a time", LONGEST_SECONDS) as is_second, turn(other, "another", LONGEST_SECONDS) as is_another:
            assert (is_first, is_second, is_another) == (True, False, True)
    with turn(other, "one at a time", LONGEST_SECONDS) as is_next:
        assert is_next


def test_a_turn_that_ended_in_an_error_is_given_back(valkey: Valkey) -> None:
    cache = connect_cache(valkey.url)
    with pytest.raises(ZeroDivisionError), turn(cache, "error", LONGEST_SECONDS) as is_ours:
        assert is_ours
        raise ZeroDivisionError
    with turn(cache, "error", LONGEST_SECONDS) as is_next:
        assert is_next


def test_the_turn_of_another_process_is_left_alone(valkey: Valkey) -> None:
    cache = connect_cache(valkey.url)
    cache.set("turn:theirs", "somebody", px=LONGEST_SECONDS * 1000)
    with turn(cache, "theirs", LONGEST_SECONDS) as is_ours:
        assert not is_ours
    assert cache.get("turn:theirs") == "somebody"


def test_who_took_longer_than_it_may_takes_nobodys_turn_away(valkey: Valkey) -> None:
    cache = connect_cache(valkey.url)
    with turn(cache, "slow", LONGEST_SECONDS):
        cache.set("turn:slow", "somebody", px=LONGEST_SECONDS * 1000)
    assert cache.get("turn:slow") == "somebody"


def test_a_turn_that_could_not_be_given_back_is_over_when_valkey_is_back(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    server.start()
    try:
        cache = connect_cache(server.url)
        with pytest.raises(redis.exceptions.ConnectionError), turn(cache, "sweep", LONGEST_SECONDS) as is_ours:
            assert is_ours
            server.stop()
        server.start()
        left = cache.get("turn:sweep")
        assert left  # it was kept, and nobody has given it back
        with turn(cache, "sweep", LONGEST_SECONDS) as is_next, turn(cache, "sweep", LONGEST_SECONDS) as is_third:
            assert (is_next, is_third) == (True, False)
            assert cache.get("turn:sweep") != left
        assert cache.get("turn:sweep") is None
    finally:
        server.stop()


def test_a_turn_whose_answer_was_lost_is_ours(valkey: Valkey) -> None:
    again = connect_cache(valkey.url)
    pool = redis.ConnectionPool(connection_class=Forgetful, **again.connection_pool.connection_kwargs)
    with turn(redis.Redis(connection_pool=pool), "lost", LONGEST_SECONDS) as is_ours:
        assert Forgetful.lost == 1
        assert is_ours
        with turn(again, "lost", LONGEST_SECONDS) as is_second:
            assert not is_second
    assert again.get("turn:lost") is None
