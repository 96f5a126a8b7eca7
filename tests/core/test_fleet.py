"""What an operator orders of nodes outlives what they say of themselves."""

import uuid

import pytest
from sqlalchemy import select

from app.core import claims, fleet, nodes, relays
from app.db import Database
from app.errors import NotFound
from app.models.nodes import Node, NodeToken
from tests.factories.dispatching import Dispatcher
from tests.factories.market import Marketplace


@pytest.fixture
def market(database: Database) -> Marketplace:
    return Marketplace(database)


def calling(database: Database, node_id: uuid.UUID) -> nodes.CallingNode:
    with database.unit_of_work() as session:
        token = session.scalars(select(NodeToken.id).where(NodeToken.node_id == node_id)).one()
        return nodes.authenticate(session, token)


def test_a_drained_node_gets_nothing_whatever_it_says(market: Marketplace, database: Database) -> None:
    node_id = market.node("n")
    market.paid_job(frames=3)
    (before,) = market.claim(node_id, 1)
    with database.unit_of_work() as session:
        assert fleet.drain(session, node_id) and not fleet.drain(session, node_id)
    assert nodes.units_at_once(calling(database, node_id), 5) == 0
    with database.unit_of_work() as session:
        nodes.heartbeat(session, calling_of(session, node_id), {"draining": False})
        relays.begin(session, calling_of(session, node_id))
    with database.unit_of_work() as session:
        node = session.get_one(Node, node_id)
        assert node.is_draining and node.drained_at is not None
        assert nodes.providers_with_means(session, 90) == set()
        assert fleet.shown(session, node_id, 90)["attempts"][0]["id"] == str(before.attempt_id)
        assert fleet.resume(session, node_id) and not fleet.resume(session, node_id)
    assert nodes.units_at_once(calling(database, node_id), 5) == 5
    with database.unit_of_work() as session:
        node = session.get_one(Node, node_id)
        assert not node.is_draining
        assert len(claims.claim(session, node, {"capabilities": ["render"], "limit": 5}, 60, 90)) == 2


def calling_of(session, node_id: uuid.UUID) -> nodes.CallingNode:  # type: ignore[no-untyped-def]
    token = session.scalars(select(NodeToken.id).where(NodeToken.node_id == node_id)).one()
    return nodes.authenticate(session, token)


def test_a_node_that_drains_itself_is_not_held_by_the_operator(market: Marketplace, database: Database) -> None:
    node_id = market.node("n")
    for says in (True, False):
        with database.unit_of_work() as session:
            nodes.heartbeat(session, calling_of(session, node_id), {"draining": says})
        with database.unit_of_work() as session:
            assert session.get_one(Node, node_id).is_draining is says


def test_trust_decides_whose_work_a_node_gets(database: Database) -> None:
    renter = Dispatcher(database)
    node_id = renter.node("compute")
    with database.unit_of_work() as session:
        assert [row["is_trusted"] for row in fleet.listed(session, 90)] == [False]
        assert fleet.trust(session, node_id, True) and not fleet.trust(session, node_id, True)
        nodes.assert_may_work(calling_of(session, node_id), True, open_nodes=False)
        assert fleet.trust(session, node_id, False)


def test_a_node_is_found_by_name_id_and_the_beginning_of_its_id(market: Marketplace, database: Database) -> None:
    first, _ = market.node("same"), market.node("same")
    with database.unit_of_work() as session:
        assert fleet.find(session, str(first)) == fleet.find(session, str(first)[:13].upper()) == first
        for told, said in (("same", "several nodes"), ("", "there is no node"), ("%", "there is no node"), ("x" * 99, "no node")):
            with pytest.raises(NotFound, match=said):
                fleet.find(session, told)


def test_a_node_that_is_named_as_anothers_id_hides_nobody(market: Marketplace, database: Database) -> None:
    wanted = market.node("n")
    names = (str(wanted), str(wanted)[:8], "workshop")
    stranger = [market.node(name) for name in names][-1]
    with database.unit_of_work() as session:
        assert fleet.find(session, str(wanted)) == fleet.find(session, str(wanted)[:8], by_name=False) == wanted
        assert fleet.find(session, "workshop") == stranger
        with pytest.raises(NotFound, match="no node"):
            fleet.find(session, "workshop", by_name=False)
