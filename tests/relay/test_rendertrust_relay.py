"""RenderTrust's relay over two real processes, with a node that knows only the seed's messages."""

from tests.api.conftest import Market
from tests.api.test_paid_render import paid
from tests.relay.relay_nodes import RelayNode


def test_a_seed_only_node_is_handed_a_frame_and_paid_for_it(apis, market: Market, payer) -> None:
    node = RelayNode(market)
    with node.connect(apis[1]) as socket:
        payment = paid(market, payer)
        dispatch = socket.hear("job_dispatch")
        assert (dispatch["job_id"], dispatch["job_type"]) == (payment["jobId"], "render")
        assert {"attempt", "payload_url", "upload_url", "result_ref", "payload_ref"} <= dispatch.keys()
        socket.send({"type": "job_status", "job_id": dispatch["job_id"], "status": "running", "progress": 0.45})
        answer = socket.finish(dispatch)
        assert (answer["type"], answer["status"], answer["accepted"]) == ("job_ack", "completed", True)
        assert market.job(payment)["status"] == "completed"
        again = socket.ask(socket.result(dispatch))
        assert (again["type"], again["status"]) == ("job_ack", "completed")
