"""accounts: how many requests a minute an account has."""

import click

from app.cli.context import open_database
from app.cli.printing import as_json_option, examples, print_json
from app.core import rate_tiers, statements
from app.errors import NotFound
from app.values.rate_tiers import TIERS


@click.group()
def accounts() -> None:
    """Set accounts' rate tiers."""


@accounts.command(
    epilog=examples(
        "accounts tier jane@example.com pro",
        "accounts tier 7eUc… enterprise --per-minute 5000",
        note="RoboCompute's API takes 100 requests a minute from free, 1000 from pro; a change counts within seconds.",
    )
)
@click.argument("who")
@click.argument("tier", type=click.Choice(list(TIERS)))
@click.option("--per-minute", type=int, help="An enterprise's requests per minute, which it must have.")
@as_json_option
def tier(who: str, tier: str, per_minute: int | None, as_json: bool) -> None:
    """Put the account of WHO (an e-mail address, a wallet or an id) into TIER."""
    with open_database() as (_, database), database.unit_of_work() as session:
        account_id = statements.find(session, who).owner_id
        if account_id is None:
            raise NotFound(f"{who!r} is the platform's own: it sends no requests")
        found = rate_tiers.agree(session, account_id, tier, per_minute)
    if as_json:
        print_json({"account_id": str(found.account_id), "tier": found.tier, "requests_per_minute": found.per_minute})
    else:
        click.echo(f"{who} is {found.tier}: {found.per_minute} requests a minute")


COMMANDS = (accounts,)
