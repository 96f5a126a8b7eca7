"""The sweep of uploads, seen from outside: what a job made of one can still be downloaded."""

from datetime import timedelta

from flask.testing import FlaskClient
from sqlalchemy import update

from app.flows import retention
from app.models.uploads import Upload
from app.values import clock
from app.wiring import Hub
from tests.api.rendertrust.conftest import User
from tests.api.rendertrust.test_jobs import EdgeNode, client, dispatch, rich, upload  # noqa: F401  its fixtures too


def test_results_stay_when_the_payload_is_swept(rich: User, client: FlaskClient, hub: Hub) -> None:  # noqa: F811
    node = EdgeNode(client, "inference")
    ref = upload(rich, b"{}")
    made = dispatch(rich, "inference", ref)
    attempt, _ = node.claim()
    node.finish(attempt, b'{"choices":[1]}')
    assert retention.delete_uploads(hub.database, hub.store, 0, 3600) == 0, "it was used just now"
    with hub.database.unit_of_work() as session:
        session.execute(update(Upload).values(expires_at=clock.now() - timedelta(hours=1)))
    assert retention.delete_uploads(hub.database, hub.store, 0, 0) == 1
    found = rich.get(f"jobs/{made.json['job_id']}/result").json
    assert client.get(found["download_url"]).data == b'{"choices":[1]}'
    assert dispatch(rich, "inference", ref).status_code == 404
