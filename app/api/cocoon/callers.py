"""Who may see what: an operator everything, a participant what is its own, nobody else anything."""

from dataclasses import dataclass

from app.api import security
from app.api.security import Caller
from app.core import participants
from app.db import Session
from app.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Reach:
    """A caller, and the ids of the participants whose rows it may touch; None: all of them."""

    caller: Caller
    among: tuple[int, ...] | None

    @property
    def is_operator(self) -> bool:
        return self.among is None


def reach(session: Session, scope: str) -> Reach:
    """By the request's credential. Forbidden without the scope, and for whoever is neither participant nor operator."""
    return reach_of(session, security.caller(session, scope))


def reach_of(session: Session, caller: Caller) -> Reach:
    """What somebody who is known already may touch."""
    if caller.is_operator:
        return Reach(caller, None)
    own = participants.of_account(session, caller.account_id)
    if not own:
        message = "this account is no participant; sign in with a TON wallet and make it one with POST /api/v1/participants"
        raise Forbidden(message, code="NOT_A_PARTICIPANT")
    return Reach(caller, own)


def operator(session: Session, scope: str) -> Caller:
    """The same where only an operator will do; Forbidden for others."""
    caller = security.caller(session, scope)
    require_operator(caller)
    return caller


def require_operator(caller: Caller) -> None:
    if not caller.is_operator:
        raise Forbidden("only an operator may do this", code="NOT_AN_OPERATOR")
