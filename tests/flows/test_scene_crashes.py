"""Whoever takes in a scene may die at any moment: what is noted of it is there, and what is there and not noted goes."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.adapters.storage.local import LocalStore
from app.config import Settings
from app.core import account_scenes, accounts
from app.db import Database
from app.errors import NotFound
from app.failpoints import FAILPOINTS
from app.flows import scene_uploads
from app.flows.scene_uploads import Scenes
from app.values import clock
from tests.factories.account_scenes import triangle

ROOT = Path(__file__).parent.parent.parent
POINTS = [name for name in FAILPOINTS if name.startswith("scene.")]
DATA = triangle()


@pytest.fixture
def scenes(database: Database, tmp_path: Path) -> Iterator[Scenes]:
    settings = Settings()
    yield Scenes(database, LocalStore(tmp_path / "files", settings.secret_key, settings.base_url), settings)
    clock.replace_clock(None)


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at(scenes: Scenes, database_url: str, tmp_path: Path, point: str) -> None:
    with scenes.database.unit_of_work() as session:
        owner_id = accounts.ensure_identity(session, "solana", "someone")
    announced = scene_uploads.announce(scenes, owner_id, hashlib.sha256(DATA).hexdigest(), len(DATA), "part.stl")
    scene_id, scene_file = announced[0], tmp_path / "part.stl"
    scene_file.write_bytes(DATA)
    (tmp_path / point).touch()
    arguments = [database_url, str(tmp_path / "files"), str(scene_id), str(scene_file)]
    command = [sys.executable, str(ROOT / "tests" / "flows" / "scene_process.py"), *arguments]
    environment = {**os.environ, "LIGHTYARD_FAILPOINTS_FOLDER": str(tmp_path), "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, timeout=120).returncode == -signal.SIGKILL
    assert not (tmp_path / point).exists()
    reached = received(scenes, scene_id)
    assert reached == {"scene.part_stored": 0, "scene.stored": len(DATA)}[point]
    if reached < len(DATA):
        scene_uploads.receive(scenes, scene_id, io.BytesIO(DATA[reached:]), reached)
    else:
        pass_time(scene_uploads.QUIET_SECONDS + 1)
        assert scene_uploads.finish_waiting(scenes) == 1
    with scenes.database.unit_of_work() as session:
        view = account_scenes.get_own(session, owner_id, scene_id)
    assert view.own.state == "inspecting" and view.scene is not None
    assert scenes.store.stat(view.scene.storage_key).sha256 == view.own.sha256  # type: ignore[attr-defined]
    assert_swept(scenes, tmp_path / "files" / "objects")


def pass_time(seconds: float) -> None:
    later = clock.now() + timedelta(seconds=seconds)
    clock.replace_clock(lambda: later)


def received(scenes: Scenes, scene_id: uuid.UUID) -> int:
    with scenes.database.unit_of_work() as session:
        return account_scenes.get_awaited(session, scene_id).received_bytes


def assert_swept(scenes: Scenes, objects: Path) -> None:
    """Parts that nobody knows are deleted once no upload can need them; nothing else is."""
    long_ago = clock.now().timestamp() - 2 * scenes.settings.scene_upload_seconds - 1
    for path in objects.rglob("*"):
        if path.is_file():
            os.utime(path, (long_ago, long_ago))
    assert scene_uploads.sweep(scenes) == 0
    assert [path.parent.name for path in objects.rglob("*") if path.is_file()] == ["scenes"]


def test_what_was_given_up_is_not_accepted_any_more(scenes: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came in time is looked at even late, but not without end."""
    with scenes.database.unit_of_work() as session:
        owner_id = accounts.ensure_identity(session, "solana", "someone")
    scene_id, _ = scene_uploads.announce(scenes, owner_id, hashlib.sha256(DATA).hexdigest(), len(DATA), "part.stl")
    with monkeypatch.context() as patch:
        patch.setattr(scene_uploads, "finish", lambda *_: None)
        scene_uploads.receive(scenes, scene_id, io.BytesIO(DATA), 0)
    pass_time(scenes.settings.scene_upload_seconds + account_scenes.FINISHING_SECONDS - 1)
    assert received(scenes, scene_id) == len(DATA) and scene_uploads.sweep(scenes) == 0
    pass_time(2)
    with scenes.database.unit_of_work() as session:
        (dropped,) = account_scenes.drop(session, 1, 1, 9)
    with pytest.raises(NotFound) as refusal:
        scene_uploads.finish(scenes, dropped)
    assert refusal.value.code == "UPLOAD_OVER" and scene_uploads.finish_waiting(scenes) == 0 and scene_uploads.sweep(scenes) == 1
    with scenes.database.unit_of_work() as session, pytest.raises(NotFound):
        account_scenes.get_own(session, owner_id, scene_id)
