"""RabbitMQ's management API: users, permissions and queues for GPU hosts. Everything asked of it is idempotent.

The hosts' virtual host holds their queues and nothing else. Nobody but the hub writes there, and only the hub's own user and
this API may declare anything.
"""

import json
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import structlog

from app.adapters.publisher import MOST_BELLS, UNHEARD_SECONDS
from app.db import assert_no_unit_of_work
from app.errors import ConfigError, Unavailable
from app.values import broker_users

log = structlog.get_logger()
CALL_SECONDS, GRANT_SECONDS, ANSWER_BYTES = 2.0, 6.0, 65_536
ANYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
QUORUM = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
# A host that is said to be idle and never reads must not fill the disk: of doorbells the newest are enough. And whoever has many
# wallets has many queues: one that nobody listened to for so long goes, and is made again when a host registers.
BELLS = {"max-length": MOST_BELLS, "overflow": "drop-head", "expires": UNHEARD_SECONDS * 1000}
POLICY = {"pattern": ".*", "apply-to": "queues", "definition": BELLS}
CHANNELS_PER_CONNECTION = 4
GONE = (400, 404)  # of a virtual host that is not there some calls say the one, some the other


def check_addresses(api_url: str, broker_url: str, public_url: str) -> None:
    """ConfigError for addresses that can't be what they are for."""
    if not api_url:
        return
    try:
        api, broker, public = urlsplit(api_url), urlsplit(broker_url), urlsplit(public_url or "amqp://host")
        _ = api.port, broker.port, public.port
    except ValueError:
        raise ConfigError("RABBITMQ_API_URL, BROKER_URL or RABBITMQ_PUBLIC_URL is no URL") from None
    if api.scheme not in ("http", "https") or not (api.hostname and api.username and api.password):
        raise ConfigError("RABBITMQ_API_URL must be http://user:password@host:15672, or https://")
    if broker.scheme not in ("amqp", "amqps") or not (broker.hostname and broker.username):
        raise ConfigError("RABBITMQ_API_URL goes with BROKER_URL=amqp://user:password@host:5672//, or amqps://")
    if public.scheme not in ("amqp", "amqps") or not public.hostname or public.username:
        raise ConfigError("RABBITMQ_PUBLIC_URL must be amqps://host:5671, or amqp://, without user and password")


class RabbitMQ:
    """`grant`, `disconnect` and `url` are what flows ask for; Unavailable BROKER_AWAY where RabbitMQ can't do it now."""

    def __init__(self, api_url: str, broker_url: str, public_url: str, vhost: str, most_connections: int) -> None:
        api, broker, public = urlsplit(api_url), urlsplit(broker_url), urlsplit(public_url or broker_url)
        address = f"{api.scheme}://{api.netloc.rpartition('@')[2]}{api.path.rstrip('/')}/api"
        auth = (unquote(api.username or ""), unquote(api.password or ""))
        self._http = httpx.Client(base_url=address, auth=auth, timeout=CALL_SECONDS, trust_env=False)
        self._hub_user = unquote(broker.username or "")
        self._public = f"{public.scheme}://{{}}:{{}}@{public.netloc.rpartition('@')[2]}/{quote(vhost, safe='')}"
        self._vhost, self._most_connections, self._is_prepared = quote(vhost, safe=""), most_connections, False

    def url(self, user: str, password: str) -> str:
        """Where a host with this user listens."""
        return self._public.format(quote(user, safe=""), quote(password, safe=""))

    def grant(self, user: str, password: str, readable: str, queues: Iterable[str]) -> None:
        """See to it that the user has this password, may read these queues and nothing else, and that they exist."""
        deadline = time.monotonic() + GRANT_SECONDS
        try:
            if not self._is_prepared:
                self._prepare(deadline)
            self._grant(deadline, user, password, readable, queues)
        except _Gone:  # the broker lost what it had: it was replaced, or its disk was
            self._prepare(deadline)
            self._grant(deadline, user, password, readable, queues)

    def disconnect(self, user: str) -> None:
        """Close every connection that the user has open now."""
        deadline = time.monotonic() + GRANT_SECONDS
        self._call("DELETE", f"/connections/username/{quote(user, safe='')}", deadline)

    def may_administer(self) -> bool:
        """Whether the hub's user may make users and virtual hosts."""
        return "administrator" in json.loads(self._call("GET", "/whoami", time.monotonic() + CALL_SECONDS))["tags"]

    def _prepare(self, deadline: float) -> None:
        self._call("PUT", f"/vhosts/{self._vhost}", deadline, {"description": "doorbells for GPU hosts"})
        self._call("PUT", f"/permissions/{self._vhost}/{quote(self._hub_user, safe='')}", deadline, ANYTHING)
        self._call("PUT", f"/policies/{self._vhost}/doorbells", deadline, POLICY)
        self._is_prepared = True

    def _grant(self, deadline: float, user: str, password: str, readable: str, queues: Iterable[str]) -> None:
        name = quote(user, safe="")
        limits = {"max-connections": self._most_connections, "max-channels": self._most_connections * CHANNELS_PER_CONNECTION}
        if user == broker_users.TRUSTED:  # the operator's own; as many as there are
            limits = {"max-connections": -1, "max-channels": -1}
        self._call("PUT", f"/users/{name}", deadline, {"password": password, "tags": ""})
        for limit, value in limits.items():
            self._call("PUT", f"/user-limits/{name}/{limit}", deadline, {"value": value})
        may = {"configure": broker_users.NONE, "write": broker_users.NONE, "read": readable}
        self._call("PUT", f"/permissions/{self._vhost}/{name}", deadline, may)
        for queue in queues:
            self._call("PUT", f"/queues/{self._vhost}/{quote(queue, safe='')}", deadline, QUORUM)

    def _call(self, method: str, path: str, deadline: float, body: Any = None) -> bytes:
        """One call; what was answered. The body may hold a password, and is in no error."""
        assert_no_unit_of_work()
        seconds = max(0.1, min(CALL_SECONDS, deadline - time.monotonic()))
        try:
            with self._http.stream(method, path, json=body, timeout=seconds) as answer:
                said = _read(answer, time.monotonic() + seconds)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise _away(f"{type(error).__name__} at {path}") from error
        if not answer.is_success:
            reason = f"status {answer.status_code} at {path}: {said[:200].decode(errors='replace')}"
            raise _Gone(reason, code="BROKER_AWAY") if answer.status_code in GONE else _away(reason)
        return said


def _read(answer: httpx.Response, deadline: float) -> bytes:
    """A body that neither comes for ever nor is larger than any of RabbitMQ's that is asked for here."""
    said = b""
    for chunk in answer.iter_bytes():
        said += chunk
        if len(said) > ANSWER_BYTES or time.monotonic() > deadline:
            raise httpx.ReadTimeout("an answer without end")
    return said


class _Gone(Unavailable):
    """Something that RabbitMQ was told of earlier is not there any more."""


def _away(reason: str) -> Unavailable:
    return Unavailable(f"RabbitMQ's management API could not do it now: {reason}", code="BROKER_AWAY")
