"""Signing in with an e-mail address and a password. Hashes are computed between the transactions, beside the event loop."""

from dataclasses import dataclass

from app import offload
from app.core import accounts, sign_ins
from app.core.sign_ins import SignedIn
from app.db import Database
from app.errors import InvalidInput, Unauthenticated
from app.values import emails, passwords


@dataclass(frozen=True, slots=True)
class Registered:
    """A new account, signed in. `email` is as it is stored."""

    email: str
    name: str
    signed_in: SignedIn


def register(database: Database, email: str, name: str, password: str) -> Registered:
    """Make an account; InvalidInput for what is no address, Conflict when it is taken."""
    address = emails.normalise(email)
    secret_hash = offload.run(passwords.hash_password, password)
    with database.unit_of_work() as session:
        account = accounts.register(session, "email", address, name, secret_hash)
        return Registered(address, account.name, sign_ins.begin(session, account.id))


def log_in(database: Database, email: str, password: str) -> SignedIn:
    """Begin a sign-in. One refusal, at one cost, for a wrong password, an unknown address and an account that is off."""
    try:
        address = emails.normalise(email)
    except InvalidInput:
        address = ""
    with database.read_only() as session:
        found = accounts.credentials(session, "email", address)
    is_right = offload.run(passwords.is_password, found.secret_hash if found else None, password)
    if found is None or not is_right or not found.is_active:
        raise Unauthenticated("e-mail or password is wrong", code="INVALID_CREDENTIALS")
    with database.unit_of_work() as session:
        return sign_ins.begin(session, found.account_id)
