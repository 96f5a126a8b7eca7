"""robocompute provider, resources, earnings, payouts, staking: for who lends compute."""

from __future__ import annotations

import json
from typing import Any

import click

from robocompute.cli.billing import currency
from robocompute.cli.context import Session, pass_session
from robocompute.cli.printing import show, show_rows

RESOURCES = ("resource_id", "resource_type", "status", "specifications", "pricing")
PAYOUTS = ("payout_id", "status", "amount", "currency", "wallet_address", "transaction", "created_at")
TASKS = ("task_id", "name", "type", "docker_image", "max_price_per_hour", "timeout_seconds", "priority")


@click.group()
def provider() -> None:
    """The provider that one is: --provider-id says which."""


@provider.command()
@pass_session
def status(session: Session) -> None:
    """How it is doing."""
    show(session, session.provider.monitoring.get_status())


@provider.command()
@click.option("--period", default="7d", show_default=True, help="How far back, such as 24h or 7d.")
@pass_session
def metrics(session: Session, period: str) -> None:
    """What its work came to."""
    show(session, session.provider.monitoring.get_metrics(period))


@provider.command()
@pass_session
def available(session: Session) -> None:
    """Tasks that it could accept now."""
    show_rows(session, session.provider.tasks.list_available(), "tasks", TASKS)


@click.group()
def resources() -> None:
    """What the provider offers."""


@resources.command()
@click.argument("resource_type", metavar="TYPE")
@click.option("--price", "per_hour", required=True, help="Of an hour, such as 8.00.")
@click.option("--spec", "specifications", multiple=True, metavar="NAME=VALUE", help="Such as memory_gb=24. May be repeated.")
@pass_session
def add(session: Session, resource_type: str, per_hour: str, specifications: tuple[str, ...]) -> None:
    """Offer a resource of TYPE gpu or cpu."""
    show(session, session.provider.resources.create(resource_type, _read(specifications), {"per_hour": per_hour}))


@resources.command(name="list")
@click.option("--type", "resource_type", help="Only these: gpu, cpu.")
@click.option("--status", help="Only these, such as available.")
@pass_session
def list_resources(session: Session, resource_type: str | None, status: str | None) -> None:
    """All that are offered."""
    show_rows(session, session.provider.resources.list(resource_type, status), "resources", RESOURCES)


@resources.command()
@click.argument("resource_id")
@click.option("--price", "per_hour", help="Of an hour from now on.")
@click.option("--status", help="Such as available or maintenance.")
@pass_session
def update(session: Session, resource_id: str, per_hour: str | None, status: str | None) -> None:
    """Change a resource."""
    pricing = None if per_hour is None else {"per_hour": per_hour}
    show(session, session.provider.resources.update(resource_id, pricing=pricing, status=status))


@resources.command()
@click.argument("resource_id")
@pass_session
def remove(session: Session, resource_id: str) -> None:
    """Offer a resource no more."""
    show(session, session.provider.resources.delete(resource_id))


@click.command()
@click.option("--from", "start_date", metavar="YYYY-MM-DD", help="The first day.")
@click.option("--to", "end_date", metavar="YYYY-MM-DD", help="The last day.")
@pass_session
def earnings(session: Session, start_date: str | None, end_date: str | None) -> None:
    """What the provider has earned."""
    show(session, session.provider.earnings.get_summary(start_date, end_date))


@click.group()
def payouts() -> None:
    """What is paid out of the earnings."""


@payouts.command()
@click.argument("amount")
@currency
@click.option("--to", "wallet_address", help="A wallet that the provider has signed for. Else its own.")
@pass_session
def request(session: Session, amount: str, currency: str, wallet_address: str | None) -> None:
    """Have AMOUNT paid out."""
    show(session, session.provider.payouts.request(amount, currency, wallet_address))


@payouts.command()
@click.option("--limit", type=int, default=50, show_default=True)
@pass_session
def history(session: Session, limit: int) -> None:
    """All payouts, the newest first."""
    show_rows(session, session.provider.payouts.get_history(limit), "payouts", PAYOUTS)


@payouts.command()
@pass_session
def pending(session: Session) -> None:
    """Payouts under way."""
    show_rows(session, session.provider.payouts.get_pending(), "payouts", PAYOUTS)


@click.group()
def staking() -> None:
    """What the provider has at stake."""


@staking.command(name="status")
@pass_session
def staking_status(session: Session) -> None:
    """How much, and how much is needed."""
    show(session, session.provider.staking.get_status())


@staking.command()
@click.argument("amount")
@currency
@pass_session
def stake(session: Session, amount: str, currency: str) -> None:
    """Lock AMOUNT of the balance."""
    show(session, session.provider.staking.stake(amount, currency))


@staking.command()
@click.argument("amount")
@currency
@pass_session
def unstake(session: Session, amount: str, currency: str) -> None:
    """Ask for AMOUNT of the stake; it is free after a delay."""
    show(session, session.provider.staking.unstake(amount, currency))


def _read(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Numbers as numbers, everything else as text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise click.BadParameter(f"{pair} is no NAME=VALUE", param_hint="--spec")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
