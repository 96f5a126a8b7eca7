"""The database that a command works on: the settings' one, else that of the stack which runs in LIGHTYARD_HOME, whose wallets and
tokens are then the hub's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from app.config import Settings, load
from app.db import Database, make_engine
from app.stack import endpoints

DEFAULT_MINTS = Settings().solana_mints


def settings_with_database() -> Settings:
    """The settings with DATABASE_URL filled in; ConfigError when there is no database to be found."""
    settings = load()
    if settings.database_url:
        return settings
    stack = endpoints.read(settings.home)
    mints = ",".join(f"{asset}={mint}" for asset, mint in (stack.get("mints") or {}).items())
    return replace(
        settings,
        database_url=str(stack["database_url"]),
        solana_rpc_url=settings.solana_rpc_url or stack.get("solana_rpc_url") or "",
        solana_wallet=settings.solana_wallet or stack.get("hub_wallet") or "",
        solana_mints=settings.solana_mints if settings.solana_mints != DEFAULT_MINTS else mints or DEFAULT_MINTS,
        ton_wallet=settings.ton_wallet or stack.get("ton_wallet") or "",
        ton_jetton_masters=settings.ton_jetton_masters or stack.get("ton_jetton_masters") or "",
    )


@contextmanager
def open_database(as_owner: bool = False, only_reads: bool = False) -> Iterator[tuple[Settings, Database]]:
    """The settings and their database, which nothing was asked of yet; ConfigError when none is configured.

    `as_owner` leaves DATABASE_ROLE alone: who may change tables is the user that DATABASE_URL names. With `only_reads` the
    server itself refuses whatever would change a row. What the server says of a mistake is put in words by `app.cli.failures`.
    """
    settings = settings_with_database()
    if as_owner:
        settings = replace(settings, database_role="")
    engine = make_engine(settings)
    if only_reads:
        engine = engine.execution_options(postgresql_readonly=True)
    try:
        yield settings, Database(engine)
    finally:
        engine.dispose()
