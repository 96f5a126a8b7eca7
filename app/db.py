"""The only door to PostgreSQL: one engine per process, and the unit of work at every edge."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import MetaData, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import QueuePool

from app import counts, green_connections, greenlets, trail
from app.config import Settings
from app.errors import Unavailable
from app.failpoints import failpoint

__all__ = ["Base", "Database", "Session", "after_commit", "assert_no_unit_of_work", "make_engine"]

PING_AFTER_SECONDS = 1.0
# The server is away, too slow, or in a deadlock, or every connection of this process is in use.
AWAY = (OperationalError, InterfaceError, DisconnectionError, PoolTimeout)
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
    limits = f"-c statement_timeout={limit_ms} -c idle_in_transaction_session_timeout={limit_ms * 2}"
    role = f" -c role={settings.database_role}" if settings.database_role else ""
    url = settings.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(
        url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_size,
        pool_use_lifo=True,  # few warm connections, whose prepared statements are there, rather than all in turn
        hide_parameters=True,  # errors are logged, and values are not
        connect_args={
            "options": f"{limits} -c timezone=UTC{role}",
            "connect_timeout": 10,
        },
    )
    _ping_idle(engine)
    if greenlets.is_gevent():
        green_connections.use(engine)
    if (tracer := trail.tracer()) is not None:
        event.listen(engine, "before_cursor_execute", lambda *_: tracer.count_statement())
    return engine


def _ping_idle(engine: Engine) -> None:
    """A connection that lay idle is tried before it is used again: its server may have been restarted meanwhile.

    One that was used a moment ago is not, so a busy process pays nothing; the first that fails empties the pool.
    """

    @event.listens_for(engine, "checkin")
    def note(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("idle_since", 0.0) > PING_AFTER_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error  # the pool answers with a new connection


def _unavailable(error: Exception) -> Unavailable:
    reason = type(getattr(error, "orig", None) or error).__name__
    return Unavailable(f"the database could not do this now ({reason}); try again")


class Database:
    """An engine and the callbacks that run once a unit of work has really committed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        self._committers = sessionmaker(engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False)

    def pool_use(self) -> tuple[int, int]:
        """How many connections this process uses now, and how many lie idle."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedout(), pool.checkedin()

    @contextmanager
    def unit_of_work(self) -> Iterator[Session]:
        """One transaction: commit at the end, roll back on any error, then run what waited for the commit.

        Units of work do not nest. Callbacks registered with `after_commit` run outside the transaction; they are
        doorbells, so a crash between commit and callback loses nothing that a sweep does not find again. A database that is
        away, too slow or in a deadlock is Unavailable, and trying again may help: nothing was written, unless the database went
        away in the middle of the commit, which nobody can tell from here.
        """
        assert_no_unit_of_work()
        session = self._sessions()
        token = _open.set(session)
        try:
            with counts.timed("database_work_seconds"), trail.span("unit of work", "database"), session.begin():
                yield session
        except AWAY as error:
            raise _unavailable(error) from error
        finally:
            _open.reset(token)
            session.close()
        _run_waiting(session)

    @contextmanager
    def one_by_one(self) -> Iterator[Session]:
        """Statements that each commit alone, for a verb that is one statement: two round trips less than a unit of work."""
        assert_no_unit_of_work()
        session = self._committers()
        token = _open.set(session)
        try:
            with counts.timed("database_work_seconds"), trail.span("statements", "database"):
                yield session
        except AWAY as error:
            raise _unavailable(error) from error
        finally:
            _open.reset(token)
            session.close()
        _run_waiting(session)

    @contextmanager
    def read_only(self) -> Iterator[Session]:
        """Statements that only read, each as of its own moment: no transaction is begun and ended for them."""
        with self.one_by_one() as session:
            yield session


def _run_waiting(session: Session) -> None:
    waiting = session.info.get("after_commit", ())
    if waiting:
        failpoint("work.committed")
    for callback in waiting:
        callback()


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Run `callback` once this unit of work is committed (never on a savepoint's release, never on rollback)."""
    session.info.setdefault("after_commit", []).append(callback)


def assert_no_unit_of_work() -> None:
    """No call to the outside, and no second unit of work, while a transaction is open."""
    if _open.get() is not None:
        raise RuntimeError("a unit of work is open: commit before calling out or opening another")
