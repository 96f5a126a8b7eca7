"""Granting and revoking GPU hosts' way to the broker. The broker is a fake; tests/system/rabbitmq has the real one."""

import uuid
from collections.abc import Callable, Iterable

import pytest

from app.config import DEVELOPMENT_SECRET
from app.core import broker_users as rows
from app.db import Database, assert_no_unit_of_work
from app.errors import Unavailable
from app.flows import broker_access
from app.flows.broker_access import Access, Office
from app.values import broker_users

PROVIDER = uuid.UUID(int=7)
USER = f"node.{PROVIDER}"


class Remembering:
    """`passwords` are those that users have now; `before_grant` runs in the middle of the first call."""

    def __init__(self) -> None:
        self.passwords: dict[str, str] = {}
        self.queues: set[str] = set()
        self.disconnected: list[str] = []
        self.seen_by_whoever_comes_back: list[str] = []
        self.before_grant: Callable[[], None] | None = None
        self.is_away = False

    def grant(self, user: str, password: str, readable: str, queues: Iterable[str]) -> None:
        assert_no_unit_of_work()
        if self.is_away:
            raise Unavailable("away", code="BROKER_AWAY")
        act, self.before_grant = self.before_grant, None
        if act:
            act()
        self.passwords[user] = password
        self.queues |= set(queues)

    def disconnect(self, user: str) -> None:
        assert_no_unit_of_work()
        self.disconnected.append(user)
        self.seen_by_whoever_comes_back.append(self.passwords[user])

    def url(self, user: str, password: str) -> str:
        return f"{user}:{password}"


def at_once(_: float) -> None:
    """Nobody is in the middle of a handshake."""


@pytest.fixture
def broker() -> Remembering:
    return Remembering()


@pytest.fixture
def office(database: Database, broker: Remembering) -> Office:
    return Office(database, broker, "a secret of the hub")


def test_granting_again_changes_nothing(office: Office, broker: Remembering) -> None:
    first = broker_access.grant(office, PROVIDER, ["render"])
    assert first.url == f"{USER}:{broker.passwords[USER]}" and broker.queues == {f"render.{PROVIDER}"}
    assert broker_access.grant(office, PROVIDER, ["render", "compute"]) == first
    assert broker_access.grant(office, None, ["render"]).url != first.url


def test_a_broker_that_is_away_fails_nobody(office: Office, broker: Remembering) -> None:
    broker.is_away = True
    assert broker_access.grant(office, PROVIDER, ["render"]) == Access(retry_seconds=broker_access.RETRY_SECONDS)
    assert broker_access.grant(Office(office.database, None, "s"), PROVIDER, ["render"]) == Access()


def test_revoking_makes_the_old_password_void(office: Office, broker: Remembering) -> None:
    old = broker_access.grant(office, PROVIDER, ["render"]).url
    other = broker_access.grant(office, None, ["render"]).url
    opened_meanwhile: list[int] = []
    broker_access.revoke(office, PROVIDER, lambda _: opened_meanwhile.append(len(broker.disconnected)))
    new = broker_access.grant(office, PROVIDER, ["render"]).url
    assert new != old and broker.disconnected == [USER, USER] and opened_meanwhile == [1]
    assert broker_access.grant(office, None, ["render"]).url == other, "nobody else's changed"


def test_a_revocation_needs_no_secret_of_the_hub(office: Office, broker: Remembering) -> None:
    """It may run in a shell without SECRET_KEY; the default of that is public, and so are provider ids and small numbers."""
    broker_access.revoke(Office(office.database, broker, DEVELOPMENT_SECRET), PROVIDER, at_once)
    guesses = {broker_users.password(DEVELOPMENT_SECRET, USER, generation) for generation in range(5)}
    assert broker.passwords[USER] not in guesses and len(broker.passwords[USER]) >= 43


def test_a_registration_that_meets_a_revocation_does_not_bring_the_old_password_back(
    office: Office, broker: Remembering
) -> None:
    old = broker_access.grant(office, PROVIDER, ["render"]).url
    broker.before_grant = lambda: broker_access.revoke(office, PROVIDER, at_once)
    new = broker_access.grant(office, PROVIDER, ["render"]).url
    assert new != old and new == f"{USER}:{broker.passwords[USER]}"
    assert broker.disconnected == [USER, USER, USER], "whoever came in with it meanwhile is out, too"
    assert f"{USER}:{broker.seen_by_whoever_comes_back[-1]}" == new, "and can't come back with what was void"


def test_revoking_while_the_broker_is_away_counts_once_it_is_back(office: Office, broker: Remembering) -> None:
    old = broker_access.grant(office, PROVIDER, ["render"]).url
    broker.is_away = True
    with pytest.raises(Unavailable):
        broker_access.revoke(office, PROVIDER, at_once)
    broker.is_away = False
    assert broker_access.grant(office, PROVIDER, ["render"]).url != old
    with office.database.read_only() as session:
        assert rows.generation(session, USER) == 1
