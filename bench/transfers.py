"""(h) Ledger transfers against bare inserts, all to one account of the platform, and with trees being built over them."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from sqlalchemy import event, text

from app.core import audit, ledger
from app.core.anchors import Rules
from app.core.ledger import Party
from app.db import Database
from app.flows import anchors
from app.values.money import Money
from bench import transfer_client
from bench.report import Part, Series, Verdict, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.stack import BenchError, BenchStack
from bench.transfer_client import ASSET, Side

CLIENTS = 4
TREE_SECONDS = 5.0  # as the hub's beat has it
HOW = (
    f"{CLIENTS} client processes, one connection each, one commit a piece, PostgreSQL with its commits flushed. A transfer: "
    "`core.ledger.post` in a unit of work of its own, from a user's balance to the platform's one account (or to another "
    "user's). Bare: the same clients and units of work insert one row of the same size into a table without any other "
    "index than its key. Anchoring on: meanwhile another process numbers the new entries and builds trees over them, "
    f"at once and then every {TREE_SECONDS:.0f} s, as the hub does; each turn has some."
)


def measure(options: Options) -> Part:
    part = Part("h", "Ledger transfers per second", HOW)
    count = options.size(4000, 20)
    with BenchStack() as stack:
        stack.pause("worker", "beat")  # their own numbering and trees would be in every side
        users = _users(stack.database)
        with _clients(stack.endpoints["database_url"]) as work:
            sides: dict[str, Callable[[], float]] = {
                "bare": lambda: work("bare", users, count),
                "platform": lambda: work("platform", users, count),
                "users": lambda: work("users", users, count),
                "anchoring": lambda: _while_building(stack.database, lambda: work("platform", users, count)),
            }
            for side in sides.values():
                side()  # connections, plans
            found = take_turns("(h) transfers per second", options.rounds, sides)
        part.notes = _notes(stack.database, users)
    bare = Series("rows inserted and committed, bare", "/s", tuple(found["bare"]))
    platform = Series("transfers, all to the platform's account", "/s", tuple(found["platform"]))
    between = Series("transfers between users", "/s", tuple(found["users"]))
    building = Series("transfers to the platform, trees being built", "/s", tuple(found["anchoring"]))
    part.series = [bare, platform, between, building]
    part.verdicts = [
        Verdict("transfers ÷ bare inserts", ratio_of_medians(platform, bare), "≥", 0.5),
        Verdict("transfers, trees being built ÷ not", ratio_of_medians(building, platform), "≥", 0.5),
    ]
    part.notes.append(f"Trees being built, transfers are {ratio_of_medians(building, bare):.3f} of the bare inserts (no target).")
    return part


def _users(database: Database) -> list[uuid.UUID]:
    """An account for each client, with more credits than it will spend."""
    made = [uuid.uuid4() for _ in range(CLIENTS)]
    with database.unit_of_work() as session:
        session.execute(text("CREATE TABLE bench_bare (id uuid PRIMARY KEY, amount bigint, note text, made_at timestamptz)"))
        for account_id in made:
            session.execute(
                text("INSERT INTO accounts (id, name, roles, rate_tier, is_active, created_at) "
                     "VALUES (:id, 'bench', '{client}', 'free', true, now())"),
                {"id": account_id},
            )
            ledger.post(session, Party("chain"), Party("balance", account_id), Money(10**12, ASSET), f"bench:{account_id}")
    return made


@contextmanager
def _clients(url: str) -> Iterator[Callable[[Side, list[uuid.UUID], int], float]]:
    """Processes that are started once; the function runs one side in all of them: pieces per second."""
    with ProcessPoolExecutor(CLIENTS, get_context("spawn"), transfer_client.connect, (url,)) as pool:
        list(pool.map(transfer_client.ready, range(CLIENTS)))

        def work(side: Side, users: list[uuid.UUID], count: int) -> float:
            tasks = [pool.submit(transfer_client.work, side, users[n], users[n - 1], count) for n in range(CLIENTS)]
            spans = [task.result() for task in tasks]
            return CLIENTS * count / (max(end for _, end in spans) - min(begin for begin, _ in spans))

        yield work


def _while_building(database: Database, measured: Callable[[], float]) -> float:
    over, errors = threading.Event(), list[Exception]()

    def build() -> None:
        try:
            while not over.is_set():
                with database.unit_of_work() as session:
                    audit.number_entries(session)
                anchors.build(database, Rules(100, 1000, 1))
                over.wait(TREE_SECONDS)
        except Exception as error:  # a thread has nobody else to tell
            errors.append(error)

    builder = threading.Thread(target=build)
    builder.start()
    try:
        rate = measured()
    finally:
        over.set()
        builder.join()
    if errors:
        raise errors[0]
    return rate


def _notes(database: Database, users: list[uuid.UUID]) -> list[str]:
    """What a transfer asks of PostgreSQL, and whether one to the platform waits for another."""
    counts = {}
    for name, destination in (("the platform's account", Party("fees")), ("a user's", Party("balance", users[1]))):
        with database.unit_of_work() as session, _counted(database) as statements:
            ledger.post(session, Party("balance", users[0]), destination, Money(1, ASSET), f"bench:{uuid.uuid4()}")
        counts[name] = len(statements)
    with database.unit_of_work() as first:
        ledger.post(first, Party("balance", users[0]), Party("fees"), Money(1, ASSET), f"bench:{uuid.uuid4()}")
        _post_beside(database, users[1])
    said = ", ".join(f"to {name} {count}" for name, count in counts.items())
    return [
        f"SQL statements of a transfer: {said}.",
        "A transfer to the platform's account was committed while another one to it was still open: it waits for no lock of it.",
    ]


def _post_beside(database: Database, user: uuid.UUID) -> None:
    """A whole transfer in a thread of its own, beside an open one; BenchError if it had to wait."""
    errors: list[Exception] = []

    def post() -> None:
        try:
            with database.unit_of_work() as session:
                session.execute(text("SET LOCAL lock_timeout = '2s'"))
                ledger.post(session, Party("balance", user), Party("fees"), Money(1, ASSET), f"bench:{uuid.uuid4()}")
        except Exception as error:
            errors.append(error)

    beside = threading.Thread(target=post)
    beside.start()
    beside.join()
    if errors:
        raise BenchError(f"a transfer to the platform waits for another one: {errors[0]}")


@contextmanager
def _counted(database: Database) -> Iterator[list[str]]:
    """The statements that the engine runs meanwhile."""
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
