"""Where a node listens for work, as registrations and proofs tell it."""

from collections.abc import Sequence
from typing import Any

from app.api.context import hub
from app.core import doorbells
from app.core.nodes import CallingNode, Registration
from app.flows import broker_access
from app.flows.broker_access import Access
from app.models.nodes import Provider
from app.values import broker_users


def registered(made: Registration, provider: Provider | None, is_operators: bool, capabilities: Sequence[str]) -> dict[str, Any]:
    """For whoever speaks for the operator or for a provider by this very registration. A public key is no secret: a node that
    brings nothing else is told once it has proven its key."""
    if is_operators:
        return _described(broker_access.grant(hub().broker_office, None, capabilities))
    if provider is not None and not made.is_trusted:
        return _described(broker_access.grant(hub().broker_office, provider.id, capabilities))
    return _described(Access())


def proven(node: CallingNode) -> dict[str, Any]:
    """For a node that has proven its key: the shared queues, its provider's, or none where it is nobody's."""
    if not node.is_trusted and node.provider_id is None:
        return _described(Access())
    owner = None if node.is_trusted else node.provider_id
    return _described(broker_access.grant(hub().broker_office, owner, node.capabilities))


def queues(made: Registration, capabilities: Sequence[str]) -> dict[str, str]:
    """The queue of each capability. Where the hub makes strangers' queues itself, unusual kinds of work have none."""
    owner = None if made.is_trusted else made.provider_id
    if owner is not None and hub().node_broker is not None:
        return broker_users.queues(owner, capabilities)
    return {name: doorbells.queue_of(name, owner, made.is_trusted) for name in capabilities}


def _described(access: Access) -> dict[str, Any]:
    return {"broker": {"url": access.url} if access.url else None, "broker_retry_seconds": access.retry_seconds}
