"""What a command says of a mistake, or of an outside part that is away: one line that tells what to do."""

import httpx
import psycopg
import redis
from psycopg import errors as postgres
from sqlalchemy.exc import ArgumentError, DBAPIError

from app.errors import ConfigError, LightyardError, Unavailable
from app.observability.scrubbing import scrub

WRONG_SCHEMA = (postgres.UndefinedTable, postgres.UndefinedColumn)
UNSAID = {
    postgres.InsufficientPrivilege: "the database does not let the user of DATABASE_URL do this: {reason}. Name its owner in "
    "DATABASE_URL, or leave DATABASE_ROLE out",
    postgres.ReadOnlySqlTransaction: "the database only reads ({reason}): DATABASE_URL must name the primary, not a standby",
    postgres.DiskFull: "the disk of the database is full: make room there, then try again",
    postgres.QueryCanceled: "the database took longer than STATEMENT_TIMEOUT_SECONDS for this: raise it here, or ask for less",
}


def told(error: Exception) -> LightyardError | None:
    """The failure in words for an operator; None for what nobody foresaw: that is a bug, and keeps its traceback."""
    cause = _database_error(error)
    if cause is not None:
        return _of_database(cause)
    if isinstance(error, LightyardError):
        return error
    if isinstance(error, ArgumentError):
        return ConfigError("DATABASE_URL is no address of a database: postgresql://user:password@host:5432/name is one")
    if isinstance(error, redis.RedisError):
        return ConfigError(f"Valkey does not answer ({_line(error)}): is REDIS_URL right, and is the server running?")
    if isinstance(error, httpx.HTTPError):
        reason = _line(error) or type(error).__name__
        return ConfigError(f"a server did not answer ({reason}): `lightyard doctor` says which are away")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return ConfigError(f"{where}{error.strerror or _line(error)}")
    return None


def _database_error(error: BaseException) -> psycopg.Error | None:
    """What PostgreSQL's driver said, where that is what it began with."""
    if isinstance(error, Unavailable) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, DBAPIError):
        error = error.orig or error
    return error if isinstance(error, psycopg.Error) else None


def _of_database(error: psycopg.Error) -> LightyardError | None:
    if isinstance(error, WRONG_SCHEMA):
        missing = "has no tables yet" if isinstance(error, postgres.UndefinedTable) else "is older than this program"
        return ConfigError(f"the database {missing}: run `lightyard migrate` ({_line(error)})")
    for kind, words in UNSAID.items():
        if isinstance(error, kind):
            return ConfigError(words.format(reason=_line(error)))
    if isinstance(error, psycopg.OperationalError):
        advice = "is DATABASE_URL right, and is the server running?"
        return ConfigError(f"the database does not answer: {_line(error) or type(error).__name__}; {advice}")
    return None


def _line(error: BaseException) -> str:
    """The first line of what was said, without keys in addresses."""
    return scrub(next(iter(str(error).strip().splitlines()), ""))
