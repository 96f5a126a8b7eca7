"""robocompute providers: who offers compute."""

from __future__ import annotations

import click

from robocompute.cli.context import Session, pass_session
from robocompute.cli.printing import show, show_rows

COLUMNS = ("provider_id", "name", "status", "location", "price_per_hour", "reputation")


@click.group()
def providers() -> None:
    """Find who offers compute."""


@providers.command()
@click.option("--gpu-memory", type=float, help="At least so many GB of GPU memory.")
@click.option("--cpu", type=float, help="At least so many cores.")
@click.option("--max-price", help="At most so much an hour.")
@click.option("--location", help="There, such as us-east.")
@pass_session
def search(
    session: Session, gpu_memory: float | None, cpu: float | None, max_price: str | None, location: str | None
) -> None:
    """Providers that fit, the best first."""
    show_rows(session, session.client.providers.search(gpu_memory, cpu, max_price, location), "providers", COLUMNS)


@providers.command(name="show")
@click.argument("provider_id")
@pass_session
def show_provider(session: Session, provider_id: str) -> None:
    """All about a provider."""
    show(session, session.client.providers.get(provider_id))
