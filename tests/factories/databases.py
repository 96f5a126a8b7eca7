"""Databases for tests: each test finds a migrated, empty one of its own name; the rows of the last test are taken out of it.

To make one takes longer than most tests. One whose tables were changed themselves, or have grown, is dropped, not used again.
"""

import uuid
from collections import deque
from collections.abc import Sequence

import psycopg
from psycopg import sql

from app.stack.postgres import Postgres

MOST_BYTES = 262_144  # of one table: emptied ones of this size would cost, and be planned for, as if they were full
WAIT_MS = 10_000
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}  # nobody needs the data after a power cut

_TABLES = """
SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
ORDER BY relname
"""
# The newest change of tables, columns, functions, triggers, checks, rights and statistics, one transaction's number; and how many
# there are, for what is dropped leaves no number.
_SHAPE = """
SELECT max(changed), (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_attribute), (SELECT count(*) FROM pg_trigger),
    (SELECT count(*) FROM pg_constraint), (SELECT count(*) FROM pg_proc) FROM (
    SELECT max(xmin::text::bigint) FROM pg_class UNION ALL SELECT max(xmin::text::bigint) FROM pg_attribute
    UNION ALL SELECT max(xmin::text::bigint) FROM pg_proc UNION ALL SELECT max(xmin::text::bigint) FROM pg_trigger
    UNION ALL SELECT max(xmin::text::bigint) FROM pg_constraint
    UNION ALL SELECT max(s.xmin::text::bigint) FROM pg_statistic s JOIN pg_class c ON c.oid = s.starelid
        WHERE c.relnamespace = 'public'::regnamespace  -- PostgreSQL looks at its own tables whenever it likes
    UNION ALL SELECT max(xmin::text::bigint) FROM pg_namespace) AS all_of_them (changed)
"""
_RESTART = """
SELECT setval((schemaname || '.' || sequencename)::regclass, start_value, false) FROM pg_sequences WHERE last_value IS NOT NULL
"""
_OTHERS = "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"


class Databases:
    """`take` gives the name of one, `give_back` takes the rows out of it again."""

    def __init__(self, postgres: Postgres, template: str) -> None:
        self._postgres, self._template = postgres, template
        self._admin = psycopg.connect(postgres.url, autocommit=True)
        self._free = deque[str]()
        with psycopg.connect(postgres.database_url(template), autocommit=True) as connection:
            self._tables, self._shape = [row[0] for row in connection.execute(_TABLES)], _shape(connection)
            assert _filled(connection, self._tables) == [], "migrations make rows now: they have to be put back, too"

    def close(self) -> None:
        self._admin.close()

    def take(self) -> str:
        """A fresh name, so that nobody who outlived an earlier test writes into it."""
        name = f"test_{uuid.uuid4().hex}"
        if len(self._free) > 1:  # the last one's connection may be ending yet, and PostgreSQL waits for that
            self._do("ALTER DATABASE {} RENAME TO {}", self._free.popleft(), name)
        else:
            self._do("CREATE DATABASE {} TEMPLATE {}", name, self._template)
        return name

    def give_back(self, name: str) -> None:
        self._admin.execute(_OTHERS, (WAIT_MS, name))
        with psycopg.connect(self._postgres.database_url(name), autocommit=True) as connection:
            is_blank = self._empty(connection)
        if is_blank:
            self._free.append(name)
        else:
            self._do("DROP DATABASE {} WITH (FORCE)", name)

    def _do(self, statement: str, *names: str) -> None:
        self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]

    def _empty(self, connection: psycopg.Connection) -> bool:
        """As migrated again; False where that can't be."""
        if _shape(connection) != self._shape:
            return False
        filled = _filled(connection, self._tables)
        if any(_size(connection, name) > MOST_BYTES for name in filled):
            return False
        connection.execute("SET session_replication_role = replica")  # no triggers, and so no order between the tables
        for name in filled:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
        connection.execute(_RESTART)
        return True


def _filled(connection: psycopg.Connection, tables: Sequence[str]) -> list[str]:
    asked = sql.SQL(", ").join(sql.SQL("EXISTS (SELECT FROM {})").format(sql.Identifier(name)) for name in tables)
    answer = connection.execute(sql.SQL("SELECT {}").format(asked)).fetchone()
    assert answer is not None
    return [name for name, is_filled in zip(tables, answer, strict=True) if is_filled]


def _size(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute("SELECT pg_table_size(%s::regclass)", (f"public.{table}",)).fetchone()
    assert row is not None
    return int(row[0])


def _shape(connection: psycopg.Connection) -> tuple[int, ...]:
    row = connection.execute(_SHAPE).fetchone()
    assert row is not None
    return tuple(map(int, row))
