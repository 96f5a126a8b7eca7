"""Who may do what: a client with what is its own, a provider with what is of its wallet's account."""

import uuid
from dataclasses import dataclass

from app.api import identifiers, security
from app.api.security import Caller
from app.core import nodes
from app.db import Session
from app.errors import NotFound
from app.models.nodes import Provider


@dataclass(frozen=True, slots=True)
class ProviderCaller:
    """Somebody who calls for a provider: who it is, and for which."""

    caller: Caller
    provider: Provider

    @property
    def account_id(self) -> uuid.UUID:
        return self.provider.account_id


def provider(session: Session, provider_id: str, scope: str) -> ProviderCaller:
    """The caller, and the provider of the path, which must be of the caller's account, or the caller an operator.

    Errors as `security.caller`; NotFound PROVIDER_NOT_FOUND for anybody else's provider, as for none.
    """
    found = security.caller(session, scope)
    wanted = nodes.get_provider(session, identifiers.read(provider_id, "provider_id"))
    if wanted.account_id != found.account_id and not found.is_operator:
        raise NotFound("Provider not found", code="PROVIDER_NOT_FOUND", details={"provider_id": str(wanted.id)})
    return ProviderCaller(found, wanted)
