"""A node's newest socket: what it was handed before goes back, in the order of locks that everybody keeps."""

from sqlalchemy import select, text

from app.core import nodes, relays
from app.db import Database
from app.models.jobs import Job
from app.models.nodes import NodeToken
from tests.factories.dispatching import Dispatcher


def test_a_new_socket_waits_for_no_job_while_it_holds_its_nodes_row(database: Database) -> None:
    """Whoever ends an attempt locks the job first and the node last; the other way round, a node that reconnects just then is
    a deadlock."""
    market = Dispatcher(database, "10")
    node_id = market.node("compute")
    job_id, _ = market.dispatch("echo", "10")
    [claim] = market.claim(node_id)
    with database.unit_of_work() as session:
        token_id = session.scalars(select(NodeToken.id).where(NodeToken.node_id == node_id)).one()
        calling = nodes.authenticate(session, token_id)
    other = database.engine.connect()
    with other, other.begin():
        other.execute(select(Job.id).where(Job.id == job_id).with_for_update())
        with database.unit_of_work() as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            begun = relays.begin(session, calling)
    assert [item.id for item in begun.unheard] == [claim.attempt_id]
    assert begun.held == ()
    with database.unit_of_work() as session:
        assert relays.give_back(session, begun.unheard) == 1
    assert market.unit(job_id).state == "queued"
