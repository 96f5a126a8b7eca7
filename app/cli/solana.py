"""solana: money that came in on Solana and that no deposit takes, for the operator."""

import uuid

import click

from app.adapters.chains.solana import SolanaGateway
from app.cli.context import open_database
from app.cli.printing import examples
from app.core import accounts, solana_hub
from app.db import Session
from app.errors import NotFound
from app.flows import stray_deposits
from app.values import emails
from app.values.signatures import is_solana_address, is_transaction_signature


@click.group()
def solana() -> None:
    """Credit what came in on Solana without a deposit's memo."""


@solana.command(epilog=examples("solana credit 5Nf1… jane@example.com", "solana credit 5Nf1… 7eUc…"))
@click.argument("signature")
@click.argument("owner")
def credit(signature: str, owner: str) -> None:
    """Put what the transaction SIGNATURE brought to the hub's wallet onto the balance of OWNER: an e-mail address, a wallet on
    Solana, or an account's id. Once: what was credited before, or what a deposit takes by its memo, is refused."""
    if not is_transaction_signature(signature):
        raise click.UsageError(f"{signature!r} is no transaction's signature: the base58 text of 64 bytes")
    with open_database() as (settings, database):
        with database.unit_of_work() as session:
            account_id = _account(session, owner)
        chain = SolanaGateway(settings.solana_rpc_urls, settings.solana_timeout_seconds)
        money = stray_deposits.credit(database, chain, solana_hub.read(settings), signature, account_id)
    click.echo(f"{money} {money.asset} are {owner}'s now")


def _account(session: Session, owner: str) -> uuid.UUID:
    try:
        return accounts.known_id(session, uuid.UUID(owner))
    except ValueError:
        pass
    if "@" in owner:
        kind, value = "email", emails.normalise(owner)
    elif is_solana_address(owner):
        kind, value = "solana", owner
    else:
        raise click.UsageError(f"{owner!r} is no e-mail address, no wallet on Solana and no account's id")
    found = accounts.credentials(session, kind, value)
    if found is None:
        raise NotFound(f"nobody is registered as {owner}")
    return found.account_id


COMMANDS = (solana,)
