"""The database that a command works on: the settings' one, else that of the stack which runs in LIGHTYARD_HOME, whose wallet on
TON is then the hub's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from psycopg.errors import UndefinedTable
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.config import Settings, load
from app.db import Database, make_engine
from app.errors import ConfigError
from app.stack import endpoints


def settings_with_database() -> Settings:
    """The settings with DATABASE_URL filled in; ConfigError when there is no database to be found."""
    settings = load()
    if settings.database_url:
        return settings
    stack = endpoints.read(settings.home)
    return replace(
        settings,
        database_url=str(stack["database_url"]),
        ton_wallet=settings.ton_wallet or stack.get("ton_wallet") or "",
        ton_jetton_masters=settings.ton_jetton_masters or stack.get("ton_jetton_masters") or "",
    )


@contextmanager
def open_database(as_owner: bool = False) -> Iterator[tuple[Settings, Database]]:
    """The settings and their database; ConfigError when it is away or was never migrated.

    `as_owner` leaves DATABASE_ROLE alone: who may change tables is the user that DATABASE_URL names.
    """
    settings = settings_with_database()
    if as_owner:
        settings = replace(settings, database_role="")
    database = Database(make_engine(settings))
    try:
        yield settings, database
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise ConfigError(f"the database does not answer: {reason}; is DATABASE_URL right, and is the server running?") from None
    except ProgrammingError as error:
        if not isinstance(error.orig, UndefinedTable):
            raise
        raise ConfigError("the database has no tables yet: run `lightyard migrate`") from None
    finally:
        database.engine.dispose()
