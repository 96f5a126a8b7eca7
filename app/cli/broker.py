"""nodes revoke-broker: a provider's password for the message broker leaked, or its hosts are to be cut off."""

import uuid

import click

from app.cli.context import open_database
from app.cli.nodes import nodes
from app.core import nodes as providers
from app.db import Database
from app.flows import broker_access
from app.flows.broker_access import Office
from app.wiring import node_broker


@nodes.command("revoke-broker")
@click.argument("provider")
def revoke_broker(provider: str) -> None:
    """Make the password of PROVIDER's hosts void and close their connections; `trusted` stands for the operator's own hosts.

    Hosts that are enrolled register again by themselves, and get the next password. Takes some seconds: whoever began to connect
    before is cut off, too.
    """
    with open_database() as (settings, database):
        provider_id = None if provider == "trusted" else _known(database, provider)
        broker_access.revoke(Office(database, node_broker(settings), settings.secret_key), provider_id)
    click.echo(f"the broker's password of {provider} is void, and its connections are closed")


def _known(database: Database, provider: str) -> uuid.UUID:
    try:
        provider_id = uuid.UUID(provider)
    except ValueError:
        raise click.BadParameter("it is a UUID, as GET /providers shows it, or `trusted`", param_hint="PROVIDER") from None
    with database.unit_of_work() as session:
        return providers.get_provider(session, provider_id).id


COMMANDS = ()  # it is one of `nodes`
