"""keys: API keys for the operator, providers and clients."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, plain, print_json, print_table
from app.core import accounts, api_keys, queries
from app.db import Session
from app.errors import NotFound
from app.models.accounts import SCOPES
from app.values import clock
from app.values.signatures import is_solana_address

USUAL_SCOPES = {
    "operator": SCOPES,
    "provider": tuple(f"{noun}:{right}" for noun in ("providers", "nodes", "tasks", "billing", "wallet", "payouts", "keys")
                      for right in ("read", "write")) + ("jobs:read",),
    "client": tuple(f"{noun}:{right}" for noun in ("jobs", "scenes", "credits", "keys", "tasks", "wallet", "billing")
                    for right in ("read", "write")) + ("providers:read",),
}
COLUMNS = ("id", "prefix", "name", "identities", "roles", "expires_at", "revoked_at")
LIFE = re.compile(r"(\d{1,6})([hd])")


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command(
    epilog=examples(
        "keys create operator --name laptop --expires 90d",
        "keys create provider --wallet 7eUc… --name farm",
        "keys create client --wallet 7eUc… --scopes jobs:read,jobs:write --json",
        "keys create provider --wallet 7eUc… --robocompute",
        note="Scopes: " + ", ".join(SCOPES),
    )
)
@click.argument("role", type=click.Choice(list(USUAL_SCOPES)))
@click.option("--wallet", help="The Solana address whose account gets the key (provider and client).")
@click.option("--name", default="", help="What the key is for, to tell it from others.")
@click.option("--scopes", help="Comma-separated, such as jobs:read,jobs:write. Without it: all that the role usually needs.")
@click.option("--expires", help="When it ends: after hours or days (12h, 90d), or at a day in UTC (2027-01-31). Else never.")
@click.option("--robocompute", is_flag=True, help="A key for RoboCompute's SDK (rc_…): the wallet must sign each request, too.")
@as_json_option
def create(
    role: str, wallet: str | None, name: str, scopes: str | None, expires: str | None, robocompute: bool, as_json: bool
) -> None:
    """Make a key for ROLE and print its secret, which is shown this once."""
    expires_at = _end(expires)
    if role == "operator" and wallet:
        raise click.UsageError("an operator's key has no wallet: leave --wallet out")
    if role == "operator" and robocompute:
        raise click.UsageError("an operator's key has no wallet that could sign: leave --robocompute out")
    if role != "operator" and not (wallet and is_solana_address(wallet)):
        raise click.UsageError(f"a {role}'s key needs --wallet with the {role}'s Solana address")
    wanted = [scope.strip() for scope in scopes.split(",")] if scopes is not None else list(USUAL_SCOPES[role])
    with open_database() as (_, database), database.unit_of_work() as session:
        owner = _account(session, role, wallet)
        secret = accounts.create_key(session, owner, name or role, wanted, _prefix(role, robocompute), expires_at)
    if as_json:
        ends = expires_at.isoformat() if expires_at else None
        facts = {"key": secret, "prefix": accounts.shown(secret), "role": role, "scopes": sorted(set(wanted)), "expires_at": ends}
        print_json(facts)
    else:
        click.echo(secret)
        click.echo("keep it: it is stored hashed and not shown again", err=True)


def _prefix(role: str, robocompute: bool) -> str:
    kind = {"provider": api_keys.ROBOCOMPUTE_PROVIDER}.get(role, api_keys.ROBOCOMPUTE) if robocompute else api_keys.STANDARD
    return api_keys.KINDS[kind]


def _end(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        life = LIFE.fullmatch(text)
        hours = int(life[1]) * (24 if life[2] == "d" else 1) if life else 0
        end = clock.now() + timedelta(hours=hours) if life else datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise click.UsageError(f"--expires {text!r} is neither hours or days (12h, 90d) nor a day (2027-01-31)") from None
    if end <= clock.now():
        raise click.UsageError(f"--expires {text!r} is over already")
    return end


def _account(session: Session, role: str, wallet: str | None) -> uuid.UUID:
    if wallet is None:
        return accounts.operator_account(session)
    account_id = accounts.ensure_identity(session, "solana", wallet)
    accounts.grant_role(session, account_id, role)
    return account_id


@keys.command("list", epilog=examples("keys list", "keys list --json"))
@as_json_option
def list_keys(as_json: bool) -> None:
    """List keys, the newest first."""
    with open_database() as (_, database), database.unit_of_work() as session:
        rows = queries.api_keys(session)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS, "no keys yet: `lightyard keys create operator` makes one")


@keys.command(epilog=examples("keys revoke ly_Xa81bQ2"))
@click.argument("key")
def revoke(key: str) -> None:
    """End KEY, given by its id or its prefix as `lightyard keys list` shows them."""
    with open_database() as (_, database), database.unit_of_work() as session:
        found = [row for row in queries.api_keys(session, named=key) if not row["revoked_at"]]
        if len(found) != 1:
            what = "no key that is alive" if not found else f"{len(found)} keys"
            raise NotFound(f"{what} with the id or prefix {key!r}: see `lightyard keys list`")
        accounts.revoke_key(session, uuid.UUID(found[0]["id"]))
    click.echo(f"revoked {found[0]['prefix']}… ({plain(found[0]['name'])})")


COMMANDS = (keys,)
