"""nodes: the GPU hosts that work for this hub."""

import uuid
from collections.abc import Callable

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, print_facts, print_json, print_table
from app.core import fleet
from app.db import Session

COLUMNS = ("name", "status", "provider", "is_trusted", "queues", "gpus", "load", "units", "last_heartbeat_at", "id")
ATTEMPTS = ("state", "kind", "frame", "job_id", "started_at", "ended_at", "error_code")


@click.group()
def nodes() -> None:
    """Look at the GPU nodes, trust them, drain them.

    NODE is a node's id, the beginning of it (4 signs or more), or its name (not for `trust`).
    """


@nodes.command("list", epilog=examples("nodes list", "nodes list --json | jq -r '.[] | select(.is_trusted | not) | .name'"))
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 100_000))
@as_json_option
def list_nodes(limit: int, as_json: bool) -> None:
    """List nodes, the last heard of first: health, load, work under way, whom they work for, and the queues they listen to."""
    with open_database() as (settings, database), database.unit_of_work() as session:
        rows = fleet.listed(session, settings.node_unhealthy_seconds, limit)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, COLUMNS, "no nodes yet: gpu_node/README.md tells how one joins")


@nodes.command(epilog=examples("nodes show local-0", "nodes show 7f3a --json"))
@click.argument("node")
@as_json_option
def show(node: str, as_json: bool) -> None:
    """Show all that is known of NODE, and its newest attempts."""
    with open_database() as (settings, database), database.unit_of_work() as session:
        found = fleet.shown(session, fleet.find(session, node), settings.node_unhealthy_seconds)
    if as_json:
        print_json(found)
        return
    print_facts({name: value for name, value in found.items() if name != "attempts"})
    click.echo()
    print_table(found["attempts"], ATTEMPTS, "it was given nothing yet")


@nodes.command(epilog=examples("nodes trust 7f3a91c2"))
@click.argument("node")
def trust(node: str) -> None:
    """Let NODE take everybody's work and listen to the shared queues: for hosts that you vouch for.

    By its id only, as its own log says it: a node's name is what it calls itself.
    """
    said = "is trusted; restart it there, so that it listens to the shared queues"
    _order(node, lambda session, found: fleet.trust(session, found, True), said, "was trusted before", by_name=False)


@nodes.command(epilog=examples("nodes untrust workshop-2"))
@click.argument("node")
def untrust(node: str) -> None:
    """Trust NODE no more: it works for its own provider only. One that registers with an operator's key is trusted again.

    It still knows the password of the shared queues: `lightyard nodes revoke-broker trusted` makes that void.
    """
    said = "is trusted no more; restart it there, so that it listens to its provider's queues"
    _order(node, lambda session, found: fleet.trust(session, found, False), said, "was not trusted before")


@nodes.command(epilog=examples("nodes drain 7f3a", "nodes list --json | jq '.[] | select(.drained_at and .units == 0) | .name'"))
@click.argument("node")
def drain(node: str) -> None:
    """Give NODE nothing new until `resume`, whatever restarts: to mend a host, or to be rid of it. What it has, it ends."""
    _order(node, fleet.drain, "gets nothing new; `lightyard nodes show` says what it still has", "was drained before")


@nodes.command(epilog=examples("nodes resume 7f3a"))
@click.argument("node")
def resume(node: str) -> None:
    """Let a drained NODE work again."""
    _order(node, fleet.resume, "may work again", "was not drained")


def _order(node: str, verb: Callable[[Session, uuid.UUID], bool], done: str, done_before: str, by_name: bool = True) -> None:
    with open_database() as (_, database), database.unit_of_work() as session:
        found = fleet.find(session, node, by_name)
        is_new = verb(session, found)
    click.echo(f"{found} {done if is_new else done_before}")


COMMANDS = (nodes,)
