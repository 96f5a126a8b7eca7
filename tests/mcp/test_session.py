"""What an agent's session does with its hub, its money and its files, also when things go wrong between them."""

import os
import time
import uuid
import zipfile
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import httpx
import pytest

from app.core import render_orders
from app.errors import InvalidInput, Refused
from app.mcp.hub import Hub, Unclear
from app.mcp.session import Render
from tests.factories.account_scenes import LookingNode, triangle
from tests.factories.rendered_jobs import painted
from tests.factories.task_market import moving_clock
from tests.mcp.conftest import SCOPES, SMALL, World, refused

LARGE = {"width": 4096, "height": 4096, "samples": 4096}


def placed(world: World, *frames: int) -> uuid.UUID:
    """A job of these frames, of the account's."""
    wanted = replace(world.renders.placement(len(frames)), frames=frames)
    with world.renders.database.unit_of_work() as session:
        return render_orders.place(session, wanted).id


def test_a_scene_is_sent_once_and_on_from_where_it_broke_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.mcp.scenes.PIECE_BYTES", 40)
    session, whole = world.session(), world.scene.stat().st_size
    trouble = {2: "answer", 3: "request", 5: "answer"}

    def losing(request: httpx.Request) -> str:
        return trouble.pop(len(world.wire.asked("PATCH", "/content")), "") if request.method == "PATCH" else ""

    world.wire.losing = losing
    assert session.inspect(str(world.scene), 0)["status"] == "uploading"  # no time at all: nothing was sent
    assert world.wire.asked("PATCH", "/content") == []
    session.scenes.bring(str(world.scene), time.monotonic() + 30)
    found = session.inspect(str(world.scene), 0)
    assert (found["status"], found["size_bytes"]) == ("inspecting", whole) and trouble == {}
    assert "upload_url" not in found
    arrived = [request for request in world.wire.asked("PATCH", "/content") if request.headers["Upload-Offset"] == "0"]
    assert len(arrived) == 1 and all("Authorization" not in request.headers for request in world.wire.asked("PATCH", "/content"))
    assert world.node.look() == world.scene.read_bytes()
    sent = len(world.wire.asked("PATCH", "/content"))
    assert session.inspect(str(world.scene), 0)["inspection"]["cameras"] == ["Camera", "Top"]
    assert world.session().inspect(str(world.scene), 0)["status"] == "ready"  # another session of the account
    assert len(world.wire.asked("PATCH", "/content")) == sent


def test_an_upload_that_stands_still_says_so(world: World) -> None:
    world.wire.losing = lambda request: "request" if request.method in ("PATCH", "HEAD") else ""
    assert "stands still at 0 of" in refused(lambda: world.session().inspect(str(world.scene), 30), "HUB_AWAY")


def test_only_scenes_are_sent_and_only_from_where_the_user_said(world: World, tmp_path: Path) -> None:
    session = world.session(roots=[world.scene.parent])
    secret = tmp_path / "secret.stl"
    secret.write_bytes(triangle())
    (world.scene.parent / "link.stl").symlink_to(secret)
    key = world.scene.parent / "id_ed25519"
    key.write_bytes(b"secret")
    named = world.scene.parent / "passwords.blend"
    named.write_bytes(b"secret")
    for path in (secret, world.scene.parent / "link.stl", key, world.scene.parent / "none.blend", world.scene.parent, named):
        with pytest.raises(InvalidInput):
            session.inspect(str(path), 30)
    packed = tmp_path / "notes.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("notes.txt", "secret")
    for path in (packed, "~nobody-is-here/x.blend", "zero\0byte.blend"):
        with pytest.raises(InvalidInput):
            world.session().inspect(str(path), 30)
    assert world.wire.sent == []
    assert world.session().inspect(str(secret), 0)["status"] == "uploading"  # with no folder named, any scene may go


def test_an_order_that_would_cross_a_cap_is_refused_before_it_is_sent(world: World) -> None:
    scene = world.ready(world.session())
    one = world.price(scene)
    quarter = (one / 4).quantize(one, ROUND_DOWN)
    session = world.session(cap=str(one * 2), job_cap=str(one + quarter))
    message = refused(lambda: world.order(session, scene, "1-8"), "JOB_CAP")
    assert "Nothing was ordered" in message and str(one + quarter) in message
    first = world.order(session, scene)
    assert (first["dry_run"], first["job"]["frames_total"]) == (False, 4)
    assert Decimal(first["spending"]["counted"]) == one == Decimal(first["job"]["max_amount"])
    world.order(session, scene, max_amount=str(quarter))
    message = refused(lambda: world.order(session, scene), "SESSION_CAP")
    assert "Nothing was ordered" in message and f"{one - quarter} are left" in message
    assert len(world.wire.asked("POST", "/jobs")) == 2 == world.jobs()
    session.cancel(first["job"]["id"])
    assert Decimal(world.order(session, scene)["spending"]["counted"]) == one + quarter
    for amount in ("0", "-1", "NaN", "1e-9", "a lot"):
        refused(lambda amount=amount: world.order(session, scene, max_amount=amount), "INVALID_INPUT")
    assert world.jobs() == 3


def test_what_a_job_did_not_cost_may_be_spent_again(world: World) -> None:
    with moving_clock() as hours:
        scene = world.ready(world.session())
        session = world.session(cap=str(world.price(scene)))
        renders, node = world.renders, world.renders.node()
        job_id = world.order(session, scene)["job"]["id"]
        refused(lambda: world.order(session, scene, "1"), "SESSION_CAP")
        taken = renders.claim(node, 64)
        hours.wait(1)
        renders.finish(taken, seconds=1)
        assert world.order(session, scene, "1")["job"]["frames_total"] == 1  # looked at again, before it says no
        told = session.status(job_id, 0)
        assert told["job"]["status"] == "completed" and told["frames"] == {"completed": "1-4"}
        assert Decimal(told["spending"]["counted"]) > Decimal(told["job"]["current_cost"]) > 0


def test_a_dry_run_orders_and_changes_nothing(world: World) -> None:
    session = world.session(is_dry=True)
    scene = world.ready(session)
    told = world.order(session, scene)
    assert told["dry_run"] and told["would_order"]["payment"]["max_amount"] == told["would_cost_at_most"]
    assert told["would_order"]["frames"] == "1-4" and told["spending"]["counted"] == "0.00000000"
    refused(lambda: session.estimate(Render(scene, "1", SMALL), True), "DRY_RUN")
    assert world.jobs() == 0
    job_id = world.order(world.session(), scene)["job"]["id"]
    asked = len(world.wire.sent)
    for call in (session.pause, session.cancel, lambda job: session.resume(job, None)):
        assert call(job_id)["dry_run"] is True
    assert world.order(world.session(), scene, is_dry=True)["dry_run"] is True
    changed = {request.method for request in world.wire.sent[asked:]} - {"GET"}
    assert changed <= {"POST"} and world.jobs() == 1  # an estimate is a POST
    assert [request.url.path for request in world.wire.sent[asked:] if request.method == "POST"] == ["/rnp/v1/estimates"]
    assert session.status(job_id, 0)["job"]["status"] == "queued"


def test_an_order_whose_answer_was_lost_is_counted_and_repeated_once(world: World) -> None:
    secret = world.renders.key_of(world.renders.account_id, *SCOPES)
    session = world.session(key=secret)
    scene = world.ready(session)
    lost: list[httpx.Request] = []

    def losing(request: httpx.Request) -> str:
        if request.method == "POST" and request.url.path.endswith("/jobs"):
            lost.append(request)
            return "answer" if len(lost) <= 3 else ""
        return ""

    world.wire.losing = losing
    message = refused(lambda: world.order(session, scene), "ORDER_UNCLEAR")
    key = lost[0].headers["Idempotency-Key"]
    assert f"order_key {key}" in message and {request.headers["Idempotency-Key"] for request in lost} == {key}
    counted = session.purse.told()["counted"]
    assert Decimal(counted) > 0 and world.jobs() == 1
    again = world.order(session, scene, order_key=key)
    assert again["spending"]["counted"] == counted and world.jobs() == 1
    assert lost[0].content == lost[-1].content
    assert session.status(again["job"]["id"], 0)["job"]["id"] == again["job"]["id"]
    other = world.order(session, scene, "1-5", order_key=key)  # whose answer came, and was not read
    assert other["job"]["id"] == again["job"]["id"] and "nothing new was ordered" in other["note"]
    reused = refused(lambda: world.order(world.session(key=secret), scene, "1-5", order_key=key), "IDEMPOTENCY_KEY_REUSED")
    assert "HTTP 409" in reused and world.jobs() == 1 and session.purse.told()["counted"] == counted


def test_a_refused_order_is_not_counted(world: World) -> None:
    session = world.session(cap="99999")
    scene = world.ready(session)
    message = refused(lambda: world.order(session, scene, "1-10000", settings=LARGE), "INSUFFICIENT_CREDITS")
    assert "available: 100.00000000" in message and "HTTP 402" in message
    assert session.purse.told()["counted"] == "0.00000000" and world.jobs() == 0
    refused(lambda: world.order(session, scene, "9-1"), "FRAMES_INVALID")


def test_a_paused_job_goes_on_within_the_caps(world: World) -> None:
    first = world.session()
    scene = world.ready(first)
    job = world.order(first, scene)["job"]
    assert first.pause(job["id"])["job"]["status"] == "paused"
    poor = world.session(cap="0.00000001")
    refused(lambda: poor.resume(job["id"], None), "JOB_CAP")
    assert first.status(job["id"], 0)["job"]["status"] == "paused"
    assert first.resume(job["id"], None)["job"]["status"] == "queued"
    assert Decimal(first.purse.told()["counted"]) == Decimal(job["max_amount"])  # counted once
    assert first.cancel(job["id"])["spending"]["counted"] == "0.00000000"


def test_pictures_come_whole_once_and_into_their_folder(world: World, tmp_path: Path) -> None:
    session, renders = world.session(), world.renders
    job_id = placed(world, 1, 3, 20)
    renders.finish(renders.claim(renders.node(), 2))
    told = session.download(str(job_id), None, False)
    folder = (tmp_path / "pictures" / str(job_id)).resolve()
    assert told == {"folder": str(folder), "files": [str(folder / "frame_0001.png"), str(folder / "frame_0003.png")],
                    "had_already": 0, "left": "", "not_finished": "20"}  # fmt: skip
    assert [Path(path).read_bytes() for path in told["files"]] == [painted(1), painted(3)]
    (folder / "frame_0001.png").write_bytes(b"half")
    assert session.download(str(job_id), "1,3", False)["had_already"] == 1
    assert (folder / "frame_0001.png").read_bytes() == painted(1)
    (preview,) = session.download(str(job_id), "3", True)["files"]
    assert Path(preview).name == "frame_0003_preview.jpg" and Path(preview).read_bytes()[:3] == b"\xff\xd8\xff"
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    (folder / "frame_0001.png").unlink()
    (folder / "frame_0001.png").symlink_to(outside)
    session.download(str(job_id), "1", False)
    assert outside.read_bytes() == b"mine" and not (folder / "frame_0001.png").is_symlink()
    assert sorted(os.listdir(folder)) == ["frame_0001.png", "frame_0003.png", "frame_0003_preview.jpg"]


def test_a_video_comes_in_as_many_calls_as_it_takes(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, renders, node = world.session(), world.renders, world.renders.node()
    settings = renders.settings(video={"format": "MP4", "fps": 12, "frames": 2})
    wanted = replace(renders.placement(3), frames=(1, 2), settings=settings)
    with renders.database.unit_of_work() as database:
        job_id = str(render_orders.place(database, wanted).id)
    renders.finish(renders.claim(node, 2))
    refused(lambda: session.download_video(job_id), "VIDEO_NOT_READY")
    renders.finish(renders.claim(node, 1))  # what joins them; its bytes are a picture's, which nobody plays here
    whole = renders.get(job_id, "/video").data
    monkeypatch.setattr("app.mcp.downloads.CHUNK_BYTES", len(whole) // 3)
    monkeypatch.setattr("app.mcp.session.CALL_SECONDS", -1.0)
    path = (tmp_path / "pictures" / job_id / "video.mp4").resolve()
    left = [session.download_video(job_id)["left_bytes"] for _ in range(2)]
    assert len(whole) > left[0] > left[1] > 0 and not path.exists()
    (part,) = path.parent.iterdir()
    while (told := session.download_video(job_id))["left_bytes"]:
        assert told["files"] == []
    assert (told["files"], told["had_already"], path.read_bytes()) == ([str(path)], 0, whole)
    assert session.download_video(job_id)["had_already"] == 1
    path.unlink()
    part.write_bytes(b"otherwise" * 9)
    monkeypatch.setattr("app.mcp.session.CALL_SECONDS", 30.0)
    refused(lambda: session.download_video(job_id), "HASH_MISMATCH")
    session.download_video(job_id)
    assert path.read_bytes() == whole and os.listdir(path.parent) == ["video.mp4"]


def test_a_folder_that_leads_elsewhere_is_not_written_to(world: World, tmp_path: Path) -> None:
    session, renders = world.session(), world.renders
    job_id = renders.place(1)
    renders.finish(renders.claim(renders.node(), 1))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "pictures" / str(job_id)).symlink_to(elsewhere)
    with pytest.raises(Refused, match="leads elsewhere"):
        session.download(str(job_id), None, False)
    refused(lambda: session.download("../../etc", None, False), "INVALID_INPUT")
    assert "status tells" in refused(lambda: session.download(str(job_id), "2", False), "INVALID_INPUT")
    assert os.listdir(elsewhere) == []


def test_errors_of_the_hub_say_what_to_do(world: World) -> None:
    session = world.session()
    refused(lambda: session.status(str(uuid.uuid4()), 0), "JOB_NOT_FOUND")
    reader = world.session(key=world.renders.key)
    message = refused(lambda: reader.inspect(str(world.scene), 0), "SCOPE_MISSING")
    assert "scenes:write" in message and "HTTP 403" in message
    refused(lambda: world.session(key="ly_nobody").jobs(1), "INVALID_API_KEY")
    scene = str(session.scenes.bring(str(world.scene), time.monotonic() + 30)["id"])
    for node in (world.node, LookingNode(world.renders.client, world.renders.hub)):
        node.fail("SCENE_UNREADABLE")
    assert "broken block" in refused(lambda: world.order(session, scene), "SCENE_UNREADABLE")


def test_what_is_no_hub_is_named(world: World) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        status = 200 if request.url.path.endswith("/jobs") else 502
        return httpx.Response(status, text="<html>Welcome</html>")

    stranger = Hub("http://127.0.0.1", "ly_x", httpx.MockTransport(page))
    with pytest.raises(Unclear, match="no hub of Lightyard's"):
        stranger.ask("GET", "/jobs")
    with pytest.raises(Unclear, match="HTTP 502"):
        stranger.ask("GET", "/tiers")
    for url in ("ftp://hub", "hub.example", "http://", "https://me:secret@hub.example", "https://hub.example?key=1"):
        with pytest.raises(InvalidInput):
            Hub(url, "ly_x")
