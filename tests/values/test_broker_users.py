"""Which queues a broker's user may read, and what its password hangs on."""

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from app.values import broker_users

OWN, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}\Z")


def may_read(provider_id: uuid.UUID | None, queue: str) -> bool:
    return re.search(broker_users.readable(provider_id), queue) is not None


@given(NAMES)
def test_a_provider_reads_its_own_queues_and_no_others(capability: str) -> None:
    assert may_read(OWN, f"{capability}.{OWN}")
    assert not may_read(OWN, f"{capability}.{OTHER}") and not may_read(OWN, f"{capability}.{OWN}.{OTHER}")
    assert not may_read(OWN, capability) or capability.endswith(f".{OWN}")


@given(NAMES)
def test_the_operators_hosts_read_the_shared_queues_and_nobodys_own(capability: str) -> None:
    assert may_read(None, capability)
    assert not may_read(None, f"{capability}.{OTHER}")


def test_a_line_break_opens_nothing() -> None:
    for queue in (f"render.{OTHER}\nrender.{OWN}", f"render.{OWN}\nx", "render\nx"):
        assert not may_read(OWN, queue)


def test_only_known_kinds_of_work_get_a_strangers_queue() -> None:
    names = ["render", "compute", "inference", "echo", "made-up"]
    assert broker_users.queues(OWN, names) == {name: f"{name}.{OWN}" for name in names[:-1]}
    assert broker_users.queues(None, ["made-up"]) == {"made-up": "made-up"}


def test_a_password_is_of_one_user_one_generation_and_one_hub() -> None:
    words = [
        broker_users.password(secret, user, generation)
        for secret in ("one", "two")
        for user in (broker_users.TRUSTED, broker_users.provider_user(OWN), broker_users.provider_user(OTHER))
        for generation in (0, 1)
    ]
    assert len(set(words)) == 12 and all(re.fullmatch(r"[A-Za-z0-9_-]{43}", word) for word in words)
    assert words[0] == broker_users.password("one", broker_users.TRUSTED, 0)
