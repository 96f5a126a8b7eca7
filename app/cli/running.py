"""up and demo: the whole marketplace on this machine."""

import click

from app.cli.printing import examples
from app.config import load
from app.stack.demo import demo as run_demo
from app.stack.up import up as run_stack


@click.command(epilog=examples("up", "NODES=0 PORT=9000 lightyard up"))
def up() -> None:
    """Run everything on this machine until Ctrl-C.

    Settings come from the environment: `lightyard settings` lists them.
    """
    run_stack(load())


@click.command(epilog=examples("demo"))
def demo() -> None:
    """Submit an example scene, pay for it, render it, and stop everything again."""
    run_demo(load())


COMMANDS = (up, demo)
