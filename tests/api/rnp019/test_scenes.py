"""Scenes of agents: sent once, in one piece or in parts, looked at by a node, and nobody else's."""

import hashlib
import io
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from app.adapters.storage.s3 import S3Store
from app.config import Settings
from app.core import account_scenes, accounts, inspections, outcomes, scenes
from app.errors import Conflict, InvalidInput, NotFound
from app.factory import create_app
from app.flows import scene_uploads
from app.flows.scene_uploads import Scenes
from app.models.account_scenes import SceneChunk
from app.models.jobs import Job, Scene, WorkUnit
from app.values import clock
from app.wiring import Hub
from tests.api.rnp019.conftest import Agent as Buyer
from tests.api.rnp019.conftest import refused
from tests.api.test_openapi import Checked
from tests.factories import stores
from tests.factories.account_scenes import REPORT, SCENES, Agent, LookingNode, path_of, triangle
from workers import sweeps

DATA = triangle()


@pytest.fixture
def agent(client: FlaskClient, hub: Hub) -> Agent:
    return Agent(client, hub)


@pytest.fixture
def node(client: FlaskClient, hub: Hub) -> LookingNode:
    return LookingNode(client, hub)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_uploads, "PART_BYTES", 50)


def flow(hub: Hub) -> Scenes:
    return Scenes(hub.database, hub.store, hub.settings)


def checked(client: FlaskClient, agent: Agent, scene: Any) -> Any:
    """GET, held against the OpenAPI file."""
    path = f"{SCENES}/{scene['id']}"
    return Checked(client, "rnp019").call("GET", path, f"{SCENES}/{{scene_id}}", headers=agent.headers).json


def parts_left(hub: Hub) -> int:
    with hub.database.unit_of_work() as session:
        return session.query(SceneChunk).count()


def pass_time(seconds: float) -> None:
    later = clock.now() + timedelta(seconds=seconds)
    clock.replace_clock(lambda: later)


class Broken(io.RawIOBase):
    """A body whose connection ends early."""

    def __init__(self, data: bytes) -> None:
        self.left = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        if data := self.left.read(size):
            return data
        raise ConnectionResetError("the client is gone")


def test_a_scene_is_sent_looked_at_by_a_node_and_ready(agent: Agent, node: LookingNode, client: FlaskClient, hub: Hub) -> None:
    sent = agent.send(DATA)
    assert (sent.status_code, sent.json["status"], sent.json["inspection"]) == (201, "inspecting", None)
    with hub.database.unit_of_work() as session, pytest.raises(Conflict, match="inspecting"):
        account_scenes.note_use(session, agent.id, uuid.UUID(sent.json["id"]))
    assert node.look() == DATA
    found = checked(client, agent, sent.json)
    assert (found["status"], found["format"], found["error"], "upload_url" in found) == ("ready", ".stl", None, False)
    seen = found["inspection"]
    assert (seen["cameras"], seen["frame_range"], seen["engine"]) == (["Camera", "Top"], {"start": 1, "end": 24}, "cycles")
    assert (seen["resolution"], seen["samples"], seen["scripts"]) == ({"width": 64, "height": 48}, 16, ["run.py"])
    assert seen["missing_files"] == ["//oak.png"] and seen["estimated_memory_bytes"] == REPORT["estimated_memory_bytes"]
    assert found["warnings"] == ["missing file: //oak.png"]
    with hub.database.unit_of_work() as session:
        scene = session.get_one(Scene, uuid.UUID(found["id"]))
        assert (scene.account_id, scene.sha256) == (agent.id, hashlib.sha256(DATA).hexdigest())
        (job,) = session.query(Job).all()
        assert (job.dialect, job.account_id, job.state, job.price_minor) == ("hub", None, "completed", 0) and job.ended_at


def test_a_job_is_ordered_with_a_scene_once_it_is_ready(node: LookingNode, client: FlaskClient, hub: Hub) -> None:
    buyer = Buyer(client, hub)
    sent = client.post(SCENES, data={"file": (io.BytesIO(DATA), "part.stl")}, headers=buyer.head).json
    order = {"scene_id": sent["id"], "frames": "1-3"}
    refused(buyer.post(body=order), 409, "SCENE_NOT_READY")
    node.look()
    refused(buyer.post(body={**order, "settings": {"camera": "Nowhere"}}), 400, "NO_CAMERA")
    assert buyer.post(body=order).status_code == 201
    pass_time(hub.settings.scene_unused_seconds + 1)
    scene_uploads.sweep(flow(hub))
    clock.replace_clock(None)
    assert client.get(f"{SCENES}/{sent['id']}", headers=buyer.head).json["status"] == "ready", "an open job needs it"


def test_bytes_that_an_account_has_sent_are_not_asked_for_again(agent: Agent, node: LookingNode) -> None:
    first = agent.send(DATA).json
    node.look()
    for again in (agent.announce(DATA), agent.announce(DATA, "other.stl", sha256=first["sha256"].upper()), agent.send(DATA)):
        assert (again.status_code, again.json["id"], again.json["status"]) == (200, first["id"], "ready")
    assert node.claim() == ([], {}), "nor looked at again"
    refused(agent.announce(DATA, size_bytes=7), 400, "SIZE_MISMATCH")
    assert agent.announce(DATA, "part.obj").json["status"] == "uploading", "another kind of file is another scene"


def test_a_hash_opens_nobodys_scene_and_tells_nothing(agent: Agent, node: LookingNode, client: FlaskClient, hub: Hub) -> None:
    mine = agent.send(DATA).json
    node.look()
    stranger = Agent(client, hub)
    refused(stranger.get(mine), 404, "SCENE_NOT_FOUND")
    told, unheard_of = stranger.announce(DATA).json, stranger.announce(b"never sent by anybody").json
    assert told["status"] == unheard_of["status"] == "uploading" and set(told) == set(unheard_of) and told["id"] != mine["id"]
    with hub.database.unit_of_work() as session, pytest.raises(Conflict, match="uploading"):
        account_scenes.note_use(session, stranger.id, uuid.UUID(told["id"]))
    assert stranger.put(told, DATA).status_code == 204
    node.look()
    assert stranger.get(told).json["status"] == "ready"
    with hub.database.unit_of_work() as session:
        reader = {"Authorization": f"Bearer {accounts.create_key(session, stranger.id, 'reader', ['scenes:read'])}"}
    assert client.get(f"{SCENES}/{unheard_of['id']}", headers=reader).json.keys() == set(unheard_of) - {"upload_url"}
    other_address = {"upload_url": told["upload_url"].replace(told["id"], mine["id"])}
    refused(client.put(path_of(other_address), data=DATA), 403, "URL_SIGNATURE_INVALID")


def test_an_upload_goes_on_where_it_broke_off(agent: Agent, node: LookingNode, hub: Hub, small_parts: None) -> None:
    scene = agent.announce(DATA).json
    assert scene["status"] == "uploading" and agent.offset(scene) == 0
    assert agent.patch(scene, 0, DATA[:60]).headers["Upload-Offset"] == "60"
    with pytest.raises(ConnectionResetError):
        scene_uploads.receive(flow(hub), uuid.UUID(scene["id"]), Broken(DATA[60:115]), 60)
    assert agent.offset(scene) == 115, "what came of the broken part is kept"
    again = agent.announce(DATA).json
    assert (again["id"], again["received_bytes"], again["upload_url"]) == (scene["id"], 115, scene["upload_url"])
    assert "go on from there" in refused(agent.patch(scene, 60, DATA[60:]), 409, "OFFSET_MISMATCH")
    assert agent.get(scene).json["status"] == "uploading"
    assert agent.patch(scene, 115, DATA[115:]).status_code == 204
    assert agent.offset(scene) == len(DATA) and agent.get(scene).json["status"] == "inspecting" and parts_left(hub) == 0
    assert agent.patch(scene, len(DATA), b"").status_code == agent.put(scene, DATA).status_code == 204, "again changes nothing"
    assert node.look() == DATA


def test_two_that_send_the_same_part_at_once_keep_one_of_it(agent: Agent, hub: Hub, small_parts: None) -> None:
    scene = agent.announce(DATA).json
    scene_id = uuid.UUID(scene["id"])

    def send(_: int) -> str:
        try:
            return scene_uploads.receive(flow(hub), scene_id, io.BytesIO(DATA), 0).state
        except Conflict as conflict:
            return conflict.code

    with ThreadPoolExecutor(4) as pool:
        told = sorted(pool.map(send, range(4)))
    assert set(told) <= {"OFFSET_MISMATCH", "inspecting"}
    reached = agent.offset(scene)  # two may have gone on by turns, until each had to give way
    assert agent.patch(scene, reached, DATA[reached:]).status_code == 204
    assert agent.get(scene).json["status"] == "inspecting" and parts_left(hub) == 0
    with hub.database.unit_of_work() as session:
        assert hub.store.stat(session.get_one(Scene, scene_id).storage_key).sha256 == scene["sha256"]  # type: ignore[union-attr]


def test_one_file_that_is_sent_four_times_at_once_is_one_scene(agent: Agent, node: LookingNode, hub: Hub) -> None:
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: scene_uploads.send(flow(hub), agent.id, io.BytesIO(DATA), "part.stl"), range(4)))
    assert len({scene_id for scene_id, _ in told}) == 1 and sorted(is_new for _, is_new in told) == [False, False, False, True]
    assert len(node.claim(64)[0]) == 1, "and is looked at once"


def test_what_comes_must_be_what_was_announced(agent: Agent, hub: Hub) -> None:
    scene = agent.announce(DATA).json
    refused(agent.put(scene, triangle(7)), 400, "HASH_MISMATCH")
    found = agent.get(scene).json
    assert (found["status"], found["received_bytes"], found["error"]["code"]) == ("uploading", 0, "HASH_MISMATCH")
    refused(agent.put(scene, DATA + b"x"), 413, "TOO_LARGE")
    assert agent.put(scene, DATA[:9]).headers["Upload-Offset"] == "9", "fewer are waited for"
    assert agent.put(scene, DATA).status_code == 204
    assert (agent.get(scene).json["status"], agent.get(scene).json["error"], parts_left(hub)) == ("inspecting", None, 0)


def test_what_is_no_scene_is_rejected_and_may_be_tried_again(agent: Agent, node: LookingNode, hub: Hub) -> None:
    junk = b"solid nothing of the kind"
    refused(agent.send(junk, "a.blend"), 400, "SCENE_UNREADABLE")
    refused(agent.send(DATA, "a.exe"), 400, "SCENE_FORMAT_UNSUPPORTED")
    scene = agent.announce(junk, "a.blend").json
    refused(agent.put(scene, junk), 400, "SCENE_UNREADABLE")
    found = agent.get(scene).json
    assert (found["status"], found["error"]["code"]) == ("rejected", "SCENE_UNREADABLE")
    refused(agent.put(scene, junk), 409, "SCENE_UNREADABLE")
    assert agent.announce(junk, "a.blend").json["id"] != scene["id"]
    assert node.claim() == ([], {})
    with hub.database.unit_of_work() as session, pytest.raises(InvalidInput) as refusal:
        account_scenes.note_use(session, agent.id, uuid.UUID(scene["id"]))
    assert refusal.value.code == "SCENE_UNREADABLE"


def test_one_node_alone_does_not_call_a_scene_broken(agent: Agent, node: LookingNode, client: FlaskClient, hub: Hub) -> None:
    other = LookingNode(client, hub)
    scene = agent.send(DATA).json
    assert node.fail("SCENE_UNREADABLE") == "queued" and node.claim() == ([], {}), "another node is asked"
    other.look()
    assert agent.get(scene).json["status"] == "ready"
    broken = agent.send(triangle(1)).json
    assert [node.fail("SCENE_UNREADABLE"), other.fail("SCENE_UNREADABLE")] == ["queued", "failed"]
    found = agent.get(broken).json
    assert (found["status"], found["error"]["message"]) == ("rejected", "Blender cannot open this file: broken block")
    heavy = agent.send(triangle(2)).json
    assert [node.fail("OUT_OF_MEMORY"), other.fail("CRASHED"), node.fail("CRASHED")] == ["queued", "queued", "failed"]
    assert agent.get(heavy).json["error"]["code"] == "INSPECTION_FAILED"
    assert agent.send(triangle(2)).status_code == 201, "it may be sent again"


def test_no_node_looks_for_ever(agent: Agent, node: LookingNode, hub: Hub) -> None:
    agent.send(DATA)
    (attempt,), _ = node.claim()
    report = {"attempt_id": attempt["attempt_id"], "fence": attempt["fence"], "progress": 0.5}
    for seconds, taken_back in ((inspections.HELD_SECONDS - 10, 0), (11, 1)):
        pass_time(seconds)
        assert node.post("progress", reports=[report]).json["reports"][0]["live"] is True
        with hub.database.unit_of_work() as session:
            assert outcomes.expire_leases(session, (3, 5)) == taken_back
    clock.replace_clock(None)
    assert node.post("progress", reports=[report]).json["reports"][0]["live"] is False


def test_looking_gets_a_share_of_the_nodes_by_turns(agent: Agent, node: LookingNode, client: FlaskClient, hub: Hub) -> None:
    many = [agent.send(triangle(number)).json for number in range(inspections.OUT_AT_MOST + 3)]
    late = Agent(client, hub).send(DATA).json
    attempts, _ = node.claim(64)
    assert len(attempts) == inspections.OUT_AT_MOST
    done = {"attempt_id": attempts[0]["attempt_id"], "fence": attempts[0]["fence"], "report": REPORT}
    assert node.post("results", results=[done]).json["results"][0]["accepted"] is True
    with hub.database.unit_of_work() as session:
        (waiting,) = session.query(WorkUnit).filter_by(state="queued", is_parked=False)
        assert str(session.get_one(Job, waiting.job_id).scene_id) == late["id"], "who waits with many waits behind who has one"
    pass_time(inspections.STALE_SECONDS + 1)
    with hub.database.unit_of_work() as session:
        assert inspections.drop_stale(session) == 0, "an account's scene is looked at whenever a node comes"
    clock.replace_clock(None)
    assert [agent.get(scene).json["status"] for scene in many].count("ready") == 1


def test_a_node_may_report_anything_and_breaks_nothing(agent: Agent, node: LookingNode, client: FlaskClient) -> None:
    odd: list[dict[str, Any]] = [
        {"cameras": 5, "frame_start": "x", "width": True, "fps": [], "warnings": [1, "yes"], "engine": {"a": 1}, "samples": 1e9},
        {"estimated_memory_bytes": 2**60, "error": {"code": "SCENE_UNREADABLE"}, "cameras": [None, "A"], "fps": 1e200},
    ]
    for number, report in enumerate(odd):
        scene = agent.send(triangle(number)).json
        node.look(report)
        found = checked(client, agent, scene)
        assert found["status"] == "ready" and found["inspection"]["frame_range"] == {"start": None, "end": None}
        assert (found["inspection"]["estimated_memory_bytes"], found["inspection"]["fps"]) == (None, None)


def test_a_zip_is_a_scene(agent: Agent, node: LookingNode) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("parts/part.stl", DATA)
    scene = agent.send(packed.getvalue(), "parts.zip").json
    assert (scene["format"], scene["status"]) == (".zip", "inspecting")
    assert node.look() == packed.getvalue()
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    assert agent.send(empty.getvalue(), "empty.zip").status_code == 400


def test_bad_fields_are_400_and_say_which(agent: Agent, client: FlaskClient) -> None:
    names = ["", "x" * 300, 5, "..", "a\u202eb.stl"]
    bad = {"sha256": ["x", "0" * 63, 5, None], "size_bytes": [0, -1, "9", 1.5, 2**60, None], "name": names}
    for field, values in bad.items():
        for value in values:
            answer = agent.announce(DATA, **{field: value})
            assert answer.status_code == 400 and answer.json["error"]["message"], (field, value, answer.json)
    refused(agent.announce(DATA, "a.exe"), 400, "SCENE_FORMAT_UNSUPPORTED")
    refused(agent.announce(DATA, size_bytes=2**50), 413, "TOO_LARGE")
    form = {"data": {"file": "text"}, "content_type": "multipart/form-data"}
    refused(client.post(SCENES, headers=agent.headers, **form), 400, "FILE_MISSING")
    scene = agent.announce(DATA).json
    for offset in ("", "x", "-1", "1.0", "\u0661", "9" * 30):
        head = {"Upload-Offset": offset.encode().decode("latin-1")}
        assert client.patch(path_of(scene), data=b"x", headers=head).status_code == 400
    for query in ("", "?signature=x", "?signature=%00"):
        refused(client.put(f"{SCENES}/{scene['id']}/content{query}", data=DATA), 403, "URL_SIGNATURE_INVALID")


def test_an_account_has_so_much_room_and_no_more(client: FlaskClient, hub: Hub, settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.setattr(account_scenes, "OPEN_LIMIT", 3)
    small = Agent(create_app(replace(settings, account_scene_bytes=3 * len(DATA))).test_client(), hub)
    assert [small.announce(triangle(number)).status_code for number in range(4)] == [201, 201, 201, 413]
    agent = Agent(client, hub)
    assert [agent.announce(triangle(number)).status_code for number in range(4)] == [201, 201, 201, 429]
    assert agent.announce(triangle(0)).status_code == 200, "what is under way is no news"
    scene = agent.announce(triangle(0)).json
    monkeypatch.setattr(account_scenes, "PARTS_LIMIT", 2)
    assert [agent.patch(scene, offset, b"x").status_code for offset in range(3)] == [204, 204, 400]
    assert agent.offset(scene) == 2 and agent.put(scene, triangle(0)).status_code == 204


def test_what_nobody_needs_goes_and_what_a_job_needs_stays(agent: Agent, node: LookingNode, hub: Hub) -> None:
    settings, kept = hub.settings, {}
    for name in ("used", "unused"):
        kept[name] = agent.send(triangle(len(kept)), f"{name}.stl").json
        node.look()
    kept["begun"] = agent.announce(triangle(8)).json
    agent.patch(kept["begun"], 0, b"half of it")
    junk = agent.announce(b"x" * 99, "a.blend").json
    agent.put(junk, b"x" * 99)
    with hub.database.unit_of_work() as session:
        scene = session.get_one(Scene, uuid.UUID(kept["used"]["id"]))
        account_scenes.note_use(session, agent.id, scene.id)
        job = Job(dialect="rnp019", kind="render", account_id=agent.id, scene_id=scene.id, asset="RENDER", units_total=1,
                  settings={}, payment_state="pending", state="cancelled")
        session.add(job)
    assert not scene_uploads.sweep(flow(hub))
    pass_time(settings.scene_upload_seconds + account_scenes.FINISHING_SECONDS + 1)
    refused(agent.patch(kept["begun"], 10, b"x"), 404, "UPLOAD_OVER")
    assert scene_uploads.sweep(flow(hub)) == 2 and parts_left(hub) == 0, "what was never sent, and what was rejected"
    with hub.database.unit_of_work() as session:
        session.execute(text("UPDATE jobs SET state = 'open' WHERE dialect = 'rnp019'"))
    pass_time(settings.scene_unused_seconds)
    assert scene_uploads.sweep(flow(hub)) == 1
    refused(agent.get(kept["unused"]), 404, "SCENE_NOT_FOUND")
    with pytest.raises(NotFound):
        hub.store.stat(account_scenes.file_key(uuid.UUID(kept["unused"]["id"])))
    assert agent.get(kept["used"]).json["status"] == "ready" and hub.store.stat(account_scenes.file_key(scene.id)).size_bytes
    clock.replace_clock(None)
    assert agent.announce(triangle(1), "unused.stl").json["status"] == "uploading"


def test_a_withdrawn_job_does_not_take_its_scene_along(agent: Agent, node: LookingNode, hub: Hub) -> None:
    scene_id = uuid.UUID(agent.send(DATA).json["id"])
    node.look()
    with hub.database.unit_of_work() as session:
        session.execute(text("UPDATE jobs SET state = 'cancelled', payment_state = 'pending'"))
    with hub.database.unit_of_work() as session:
        assert scenes.unneeded_file(session, scene_id) is None


def test_whoever_died_with_the_last_byte_is_followed_by_a_sweep(agent: Agent, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, junk = agent.announce(DATA).json, agent.announce(b"y" * 99, "a.blend").json
    with monkeypatch.context() as patch:
        patch.setattr(scene_uploads, "finish", lambda *_: None)
        assert agent.put(scene, DATA).status_code == agent.put(junk, b"y" * 99).status_code == 204
    monkeypatch.setattr(sweeps, "hub", lambda: hub)
    sweeps.sweep_scenes()
    assert agent.get(scene).json["status"] == "uploading", "the request may still be at it"
    pass_time(scene_uploads.QUIET_SECONDS + 1)
    with monkeypatch.context() as patch:  # the first of them can't be read by anybody
        patch.setattr(scene_uploads, "finish", lambda *a, f=scene_uploads.finish: 1 / 0 if str(a[1]) == scene["id"] else f(*a))
        sweeps.sweep_scenes()
    assert (agent.get(scene).json["status"], agent.get(junk).json["status"]) == ("uploading", "rejected")
    sweeps.sweep_scenes()
    clock.replace_clock(None)
    assert (agent.get(scene).json["status"], agent.get(junk).json["status"], parts_left(hub)) == ("inspecting", "rejected", 0)


def test_in_a_bucket_it_is_the_same(settings: Settings, moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scene_uploads, "PART_BYTES", 50)
    place = stores.s3_place(moto_url, "key", "secret", uuid.uuid4().hex, "moto")
    client = create_app(replace(settings, **place.settings)).test_client()
    hub: Hub = client.application.extensions["lightyard"]
    assert isinstance(hub.store, S3Store)
    agent, scene_flow = Agent(client, hub), flow(hub)
    scene = agent.announce(DATA).json
    assert agent.patch(scene, 0, DATA[:70]).status_code == agent.patch(scene, 70, DATA[70:]).status_code == 204
    assert agent.get(scene).json["status"] == "inspecting"
    key = account_scenes.file_key(uuid.UUID(scene["id"]))
    assert hub.store.stat(key).sha256 == scene["sha256"] and hub.store.delete_older(account_scenes.PARTS, -3600) == 0
    pass_time(settings.scene_unused_seconds + 1)
    with hub.database.unit_of_work() as session:
        session.execute(text("UPDATE account_scenes SET state = 'ready'"))
        session.execute(text("UPDATE jobs SET state = 'completed'"))
    assert scene_uploads.sweep(scene_flow) == 1
    clock.replace_clock(None)
    with pytest.raises(NotFound):
        hub.store.stat(key)
