"""nodes: the GPU hosts that work for this hub."""

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, print_json, print_table
from app.core import queries

COLUMNS = ("name", "status", "provider", "capabilities", "gpus", "load", "last_heartbeat_at", "id")


@click.group()
def nodes() -> None:
    """Look at the GPU nodes."""


@nodes.command("list")
@as_json_option
def list_nodes(as_json: bool) -> None:
    """List nodes, the last heard of first."""
    with open_database() as (settings, database), database.unit_of_work() as session:
        rows = queries.nodes(session, settings.node_unhealthy_seconds)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS, "no nodes yet: gpu_node/README.md tells how one joins")


COMMANDS = (nodes,)
