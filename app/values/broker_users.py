"""RabbitMQ's users for GPU hosts: what they are called, which queues are theirs, and their passwords.

A provider's hosts share one user, and the hosts that the operator trusts share another. The password is derived, so nothing
secret is kept, registering again changes nothing for hosts that are connected, and a new generation makes the old one void.
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Iterable

from app.values import capabilities

TRUSTED = "nodes.trusted"
NONE = "^$"
_NAME = "[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}"
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# A stranger may name any kind of work; each queue costs the broker a process and a file, so only these get one.
KNOWN = frozenset({"render", capabilities.INFERENCE, *capabilities.PROMPTED, *capabilities.offered(capabilities.COVERED)})


def provider_user(provider_id: uuid.UUID) -> str:
    return f"node.{provider_id}"


def readable(provider_id: uuid.UUID | None) -> str:
    """The queues that a provider's hosts may read, as RabbitMQ's permissions have it; None: the shared ones."""
    if provider_id is None:
        return rf"^(?!.*\.{_UUID}$){_NAME}$"
    return rf"^{_NAME}\.{provider_id}$"


def queues(provider_id: uuid.UUID | None, names: Iterable[str]) -> dict[str, str]:
    """The queue of each capability that has one: the shared queues, or a provider's own."""
    if provider_id is None:
        return {name: capabilities.queue(name) for name in names}
    return {name: f"{capabilities.queue(name)}.{provider_id}" for name in names if name in KNOWN}


def password(secret_key: str, user: str, generation: int) -> str:
    """43 characters that need no quoting in a URL."""
    digest = hmac.new(secret_key.encode(), f"rabbitmq:{user}:{generation}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
