"""The servers that the hub leans on: PostgreSQL, Valkey, the broker."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import redis
from alembic.config import Config
from alembic.script import ScriptDirectory
from kombu import Connection
from psycopg import sql

from app.config import Settings
from app.stack.doctor.finding import FAIL, OK, WARN, Finding, reason_of
from app.stack.doctor.place import Place
from app.stack.postgres import BIN
from app.stack.stack import ROOT
from app.wiring import node_broker

OLDEST_POSTGRES = 14
SKEW_SECONDS = 2.0  # leases are seconds long, and the hub's clock and the database's are compared
CONNECT_SECONDS = 5


def postgres(place: Place) -> Iterator[Finding]:
    url = place.settings.database_url
    if not url:
        if (BIN / "postgres").exists():
            yield Finding(OK, "postgres", "embedded: `lightyard up` starts it")
        else:
            yield Finding(FAIL, "postgres", "the embedded server is missing", "make clean install, or set DATABASE_URL")
        return
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
            yield from _answering(connection)
            yield from _schema(connection)
            yield from _role(connection, place.settings.database_role)
    except psycopg.Error as error:
        advice = "start the server, or mend DATABASE_URL (postgresql://user:password@host:5432/name)"
        yield Finding(FAIL, "postgres", f"{_without_secret(url)}: {reason_of(error)}", advice)


def _answering(connection: psycopg.Connection) -> Iterator[Finding]:
    version, before = connection.info.server_version // 10_000, time.time()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8, pg_is_in_recovery()").fetchone()
    assert row is not None
    told, is_standby = row
    skew = told - (before + time.time()) / 2
    if version < OLDEST_POSTGRES:
        yield Finding(FAIL, "postgres", f"version {version} is too old", f"upgrade the server to {OLDEST_POSTGRES} or newer")
    elif is_standby:
        yield Finding(FAIL, "postgres", "it is a standby, which only reads", "DATABASE_URL must name the primary")
    else:
        yield Finding(OK, "postgres", f"answers, version {version}")
    if abs(skew) > SKEW_SECONDS:
        yield Finding(WARN, "clock", f"this host and the database differ by {skew:+.1f} s", "timedatectl set-ntp true, on both")
    else:
        yield Finding(OK, "clock", f"{abs(skew) * 1000:.0f} ms from the database's")


def _schema(connection: psycopg.Connection) -> Iterator[Finding]:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    newest, known = scripts.get_current_head(), {script.revision for script in scripts.walk_revisions()}
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    if row is None:
        yield Finding(FAIL, "migrations", "the database has no tables yet", "lightyard migrate")
    elif row[0] == newest:
        yield Finding(OK, "migrations", f"at {newest}, the newest")
    elif row[0] in known:
        yield Finding(FAIL, "migrations", f"at {row[0]}, and this program wants {newest}", "lightyard migrate")
    else:
        advice = "install the program's version that made the database what it is"
        yield Finding(FAIL, "migrations", f"at {row[0]}, which this program does not know: it is older than the database", advice)


def _role(connection: psycopg.Connection, role: str) -> Iterator[Finding]:
    if not role:
        return
    try:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        connection.execute("SELECT 1 FROM ledger_accounts LIMIT 1")
    except psycopg.Error as error:
        user = connection.info.user
        advice = f'psql as the owner: GRANT "{role}" TO "{user}"; where the role is missing, `lightyard migrate` makes it'
        yield Finding(FAIL, "role", f"DATABASE_ROLE={role} can't be used: {reason_of(error)}", advice)
    else:
        yield Finding(OK, "role", f"{role} may be taken on, and reads the books")


def valkey(place: Place) -> Iterator[Finding]:
    url = place.settings.redis_url
    if not url:
        yield Finding(OK, "valkey", "embedded: `lightyard up` starts it")
        return
    try:
        client = redis.Redis.from_url(url, socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS)
        info = client.info()
    except (redis.RedisError, ValueError, OSError) as error:
        advice = "start the server, or mend REDIS_URL (redis://:password@host:6379/0)"
        yield Finding(FAIL, "valkey", f"{_without_secret(url)}: {reason_of(error)}", advice)
        return
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if int(info.get("maxmemory", 0)) and policy != "noeviction":
        advice = "valkey-cli CONFIG SET maxmemory-policy noeviction"
        yield Finding(WARN, "valkey", f"it throws keys away when full ({policy}), doorbells among them", advice)
    elif str(info.get("role", "master")) != "master":
        yield Finding(FAIL, "valkey", "it is a replica, which only reads", "REDIS_URL must name the primary")
    else:
        yield Finding(OK, "valkey", f"answers, version {info.get('valkey_version', info.get('redis_version', '?'))}")


def broker(place: Place) -> Iterator[Finding]:
    """Only where it is another one than Valkey."""
    url = place.settings.broker_url
    if not url or url == place.settings.redis_url:
        return
    try:
        with Connection(url, connect_timeout=CONNECT_SECONDS) as connection:
            connection.ensure_connection(max_retries=1, timeout=CONNECT_SECONDS)
    except Exception as error:  # each of kombu's transports fails in its own ways
        advice = "start the broker, or mend BROKER_URL (amqp://user:password@host:5672/vhost)"
        yield Finding(FAIL, "broker", f"{_without_secret(url)}: {reason_of(error)}", advice)
    else:
        yield Finding(OK, "broker", f"{_without_secret(url)} answers")
    if place.settings.rabbitmq_api_url:
        yield _management(place.settings)


def _management(settings: Settings) -> Finding:
    """RabbitMQ's, which gives GPU hosts their users."""
    where = _without_secret(settings.rabbitmq_api_url)
    try:
        office = node_broker(settings)
        if office is not None and office.may_administer():
            return Finding(OK, "management", f"{where} gives GPU hosts users and queues")
        text = f"{where}: the user there is no administrator"
    except Exception as error:  # whatever answers there may be anything
        text = f"{where}: {reason_of(error)}"
    advice = "rabbitmq-plugins enable rabbitmq_management; rabbitmqctl set_user_tags USER administrator; mend RABBITMQ_API_URL"
    return Finding(FAIL, "management", text, advice)


def _without_secret(url: str) -> str:
    """Which server is meant; a password is nobody's business."""
    try:
        address = urlsplit(url)
        port = f":{address.port}" if address.port else ""
        return f"{address.scheme}://{address.hostname or ''}{port}{address.path}"
    except ValueError:
        return "its address can't be read"
