"""GPU hosts' way to the message broker: granted with a registration, taken away by the operator."""

import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from app.core import broker_users as rows
from app.db import Database
from app.errors import Unavailable
from app.values import broker_users

log = structlog.get_logger()
RETRY_SECONDS = 15
MOST_TRIES = 3
HANDSHAKE_SECONDS = 11  # RabbitMQ looks at a password as a handshake begins, and lets the rest of it take ten seconds


class Broker(Protocol):
    """The message broker's administration; Unavailable where it can't do it now."""

    def grant(self, user: str, password: str, readable: str, queues: Iterable[str]) -> None: ...

    def disconnect(self, user: str) -> None: ...

    def url(self, user: str, password: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Access:
    """Where a host listens; without `url` there is nothing to listen to, or not yet: then ask again."""

    url: str | None = None
    retry_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Office:
    """What granting takes. `broker` is None where nobody but the operator gives addresses out."""

    database: Database
    broker: Broker | None
    secret_key: str


def grant(office: Office, provider_id: uuid.UUID | None, capabilities: Iterable[str]) -> Access:
    """See to it that the provider's hosts (None: those that the operator trusts) have their user and queues; tell where.

    Only for whoever proved to speak for the provider or the operator. Idempotent: hosts that are connected notice nothing. A
    broker that is away fails nobody's registration; the next one gets it.
    """
    if office.broker is None:
        return Access()
    user = _user(provider_id)
    queues = broker_users.queues(provider_id, capabilities).values()
    try:
        for number in range(MOST_TRIES):
            password, generation = _password(office, user)
            office.broker.grant(user, password, broker_users.readable(provider_id), queues)
            if number > 0:  # it was revoked meanwhile: whoever came in with what the last try set is out, now that it is void
                office.broker.disconnect(user)
            if _password(office, user)[1] == generation:
                return Access(office.broker.url(user, password))
    except Unavailable as error:
        log.warning("broker_access.away", user=user, error=error.message)
    return Access(retry_seconds=RETRY_SECONDS)


def revoke(office: Office, provider_id: uuid.UUID | None, wait: Callable[[float], object] = time.sleep) -> None:
    """Make the provider's hosts' password void and close their connections; whoever registers again gets the next one.

    The generation is committed first: where the broker is away (Unavailable), the next registration makes the old password void.
    Takes HANDSHAKE_SECONDS. Until a host registers the password is nobody's, and not the next one: this runs in shells that may
    lack the hub's SECRET_KEY, and a password made from the default, which everybody knows, would be no secret.
    """
    if office.broker is None:
        raise Unavailable("RABBITMQ_API_URL is not set: the hub gives no broker addresses out", code="BROKER_AWAY")
    user = _user(provider_id)
    with office.database.unit_of_work() as session:
        rows.revoke(session, user)
    office.broker.grant(user, secrets.token_urlsafe(32), broker_users.readable(provider_id), ())
    office.broker.disconnect(user)
    wait(HANDSHAKE_SECONDS)
    office.broker.disconnect(user)  # who was in the middle of a handshake, which opens whatever became of the password


def _user(provider_id: uuid.UUID | None) -> str:
    return broker_users.TRUSTED if provider_id is None else broker_users.provider_user(provider_id)


def _password(office: Office, user: str) -> tuple[str, int]:
    with office.database.read_only() as session:
        generation = rows.generation(session, user)
    return broker_users.password(office.secret_key, user, generation), generation
