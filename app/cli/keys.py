"""keys: API keys for the operator, providers and clients."""

import uuid

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, print_json, print_table
from app.core import accounts, queries
from app.db import Session
from app.errors import NotFound
from app.models.accounts import SCOPES
from app.values.signatures import is_solana_address

USUAL_SCOPES = {
    "operator": SCOPES,
    "provider": tuple(f"{noun}:{right}" for noun in ("providers", "nodes", "tasks", "billing", "wallet", "payouts", "keys")
                      for right in ("read", "write")) + ("jobs:read",),
    "client": tuple(f"{noun}:{right}" for noun in ("jobs", "scenes", "credits", "keys", "tasks", "wallet", "billing")
                    for right in ("read", "write")),
}
COLUMNS = ("id", "prefix", "name", "identities", "roles", "revoked_at")


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.argument("role", type=click.Choice(list(USUAL_SCOPES)))
@click.option("--wallet", help="The Solana address whose account gets the key (provider and client).")
@click.option("--name", default="", help="What the key is for, to tell it from others.")
@click.option("--scopes", help="Comma-separated, such as jobs:read,jobs:write. Without it: all that the role usually needs.")
@as_json_option
def create(role: str, wallet: str | None, name: str, scopes: str | None, as_json: bool) -> None:
    """Make a key for ROLE and print its secret, which is shown this once."""
    if role == "operator" and wallet:
        raise click.UsageError("an operator's key has no wallet: leave --wallet out")
    if role != "operator" and not (wallet and is_solana_address(wallet)):
        raise click.UsageError(f"a {role}'s key needs --wallet with the {role}'s Solana address")
    wanted = [scope.strip() for scope in scopes.split(",")] if scopes is not None else list(USUAL_SCOPES[role])
    with open_database() as (_, database), database.unit_of_work() as session:
        secret = accounts.create_key(session, _account(session, role, wallet), name or role, wanted)
    if as_json:
        print_json({"key": secret, "role": role, "scopes": sorted(set(wanted))})
    else:
        click.echo(secret)
        click.echo("keep it: it is stored hashed and not shown again", err=True)


def _account(session: Session, role: str, wallet: str | None) -> uuid.UUID:
    if wallet is None:
        return accounts.operator_account(session)
    account_id = accounts.ensure_identity(session, "solana", wallet)
    accounts.grant_role(session, account_id, role)
    return account_id


@keys.command("list")
@as_json_option
def list_keys(as_json: bool) -> None:
    """List keys, the newest first."""
    with open_database() as (_, database), database.unit_of_work() as session:
        rows = queries.api_keys(session)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS, "no keys yet: `lightyard keys create operator` makes one")


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """End KEY, given by its id or its prefix as `lightyard keys list` shows them."""
    with open_database() as (_, database), database.unit_of_work() as session:
        found = [row for row in queries.api_keys(session) if key in (row["id"], row["prefix"]) and not row["revoked_at"]]
        if len(found) != 1:
            what = "no key that is alive" if not found else f"{len(found)} keys"
            raise NotFound(f"{what} with the id or prefix {key!r}: see `lightyard keys list`")
        accounts.revoke_key(session, uuid.UUID(found[0]["id"]))
    click.echo(f"revoked {found[0]['prefix']}… ({found[0]['name']})")


COMMANDS = (keys,)
