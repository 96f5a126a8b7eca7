"""The only door to PostgreSQL: one engine per process, and the unit of work at every edge."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import MetaData, create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from app.config import Settings

__all__ = ["Base", "Database", "Session", "after_commit", "assert_no_unit_of_work", "make_engine"]

_open: ContextVar[Session | None] = ContextVar("unit_of_work", default=None)
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all tables; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(naming_convention=_NAMES)


def make_engine(settings: Settings) -> Engine:
    """A pooled engine; a statement or an idle transaction that runs too long is ended by the server."""
    limit_ms = settings.statement_timeout_seconds * 1000
    url = settings.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
    return create_engine(
        url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_size,
        pool_pre_ping=True,
        connect_args={
            "options": f"-c statement_timeout={limit_ms} -c idle_in_transaction_session_timeout={limit_ms * 2} -c timezone=UTC",
            "connect_timeout": 10,
        },
    )


class Database:
    """An engine and the callbacks that run once a unit of work has really committed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    @contextmanager
    def unit_of_work(self) -> Iterator[Session]:
        """One transaction: commit at the end, roll back on any error, then run what waited for the commit.

        Units of work do not nest. Callbacks registered with `after_commit` run outside the transaction; they are
        doorbells, so a crash between commit and callback loses nothing that a sweep does not find again.
        """
        assert_no_unit_of_work()
        session = self._sessions()
        token = _open.set(session)
        try:
            with session.begin():
                yield session
        finally:
            _open.reset(token)
            session.close()
        for callback in session.info.get("after_commit", ()):
            callback()


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Run `callback` once this unit of work is committed (never on a savepoint's release, never on rollback)."""
    session.info.setdefault("after_commit", []).append(callback)


def assert_no_unit_of_work() -> None:
    """No call to the outside, and no second unit of work, while a transaction is open."""
    if _open.get() is not None:
        raise RuntimeError("a unit of work is open: commit before calling out or opening another")
