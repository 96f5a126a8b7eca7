"""The node's small parts: settings, keys, batches, fail-points, sandbox, session and the client's patience."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gpu_node.batches import BatchSize
from gpu_node.client import HubAway, HubClient
from gpu_node.config import SettingError, read_settings
from gpu_node.failpoints import FAILPOINTS, failpoint
from gpu_node.failures import FailureCode, WorkFailed
from gpu_node.home import HomeTaken, hold_home
from gpu_node.keys import load_or_create_key
from gpu_node.runners.blender.runner import BlenderRunner, Host, Scene
from gpu_node.sandbox import Box, SandboxMissing, bubblewrap_works, can_forbid_namespaces, choose_sandbox, python_folders
from gpu_node.session import Limits, Session
from tests.factories.scenes import ROOT

NODE = ROOT / "gpu_node"


def test_settings_have_defaults_and_refuse_nonsense() -> None:
    assert read_settings({}).hub_url == "http://127.0.0.1:8000"
    for name, value in (("HUB_URL", "ftp://x"), ("NODE_SLOTS", "many"), ("NODE_SLOTS", "0"), ("NODE_SANDBOX", "jail"),
                        ("NODE_POLL_SECONDS", "-1")):
        with pytest.raises(SettingError, match=name):
            read_settings({name: value})
    with pytest.raises(SettingError, match="production"):
        read_settings({"NODE_SANDBOX": "none", "LIGHTYARD_ENV": "production"})
    for name, value in (("LIGHTYARD_FAILPOINTS", "node.claimed=kill"), ("HUB_URL", "http://hub.example.org")):
        with pytest.raises(SettingError, match=name):
            read_settings({name: value, "LIGHTYARD_ENV": "production"})
    assert read_settings({"HUB_URL": "http://10.0.0.7:8000", "LIGHTYARD_ENV": "production"}).production


def test_secrets_may_be_kept_in_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ly_key\n")
    assert read_settings({"ENROL_KEY_FILE": str(tmp_path / "key")}).api_key == "ly_key"
    (tmp_path / "empty").touch()
    wrong = ({"ENROL_KEY_FILE": str(tmp_path / "none")}, {"BROKER_URL_FILE": str(tmp_path / "empty")},
             {"ENROL_KEY_FILE": str(tmp_path / "key"), "ENROL_KEY": "other"})
    for environment in wrong:
        with pytest.raises(SettingError, match="_FILE"):
            read_settings(environment)


def test_every_setting_is_in_the_readme() -> None:
    read = set(re.findall(r'"([A-Z][A-Z_]{5,})"', (NODE / "config.py").read_text()))
    documented = set(re.findall(r"^\| `([A-Z_]+)`", (NODE / "README.md").read_text(), re.MULTILINE))
    assert read == documented


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    key = load_or_create_key(tmp_path / "home")
    assert load_or_create_key(tmp_path / "home") == key
    assert stat.S_IMODE((tmp_path / "home" / "identity.key").stat().st_mode) == 0o600
    (tmp_path / "home" / "identity.key").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not a node key"):
        load_or_create_key(tmp_path / "home")


def test_batches_grow_with_light_frames_and_shrink_with_heavy_ones() -> None:
    size = BatchSize(limit=10, seconds=5.0)
    assert size.choose() == 1
    size.measure("a", 0.2)
    assert [size.choose() for _ in range(5)] == [2, 4, 8, 10, 10]
    for _ in range(8):
        size.measure("a", 2.0)
    assert size.choose() == 2
    size.measure("b", 30.0)
    assert size.choose() == 1


def test_every_failpoint_is_listed_and_passed_somewhere() -> None:
    passed = {name for path in NODE.rglob("*.py") for name in re.findall(r'failpoint\("([^"]+)"\)', path.read_text())}
    assert passed == set(FAILPOINTS)
    failpoint(FAILPOINTS[0])
    with pytest.raises(KeyError, match="not listed"):
        failpoint("node.invented")


def test_failure_codes_are_those_of_the_protocol() -> None:
    table = (NODE / "PROTOCOL.md").read_text().split("Codes, by what can be done")[1].split("A reported failure")[0]
    assert set(re.findall(r"`([A-Z_]+)`", table)) == {code.value for code in FailureCode}


def test_importing_the_package_imports_neither_celery_nor_bpy() -> None:
    code = "import gpu_node, sys; assert not {'celery', 'bpy', 'httpx'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_production_refuses_to_run_without_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    bubblewrap_works.cache_clear()
    try:
        with pytest.raises(SandboxMissing, match="install"):
            choose_sandbox("auto", production=True)
        assert choose_sandbox("auto", production=False) == "none"
    finally:
        bubblewrap_works.cache_clear()


def test_a_hub_that_is_away_is_waited_for_only_so_long() -> None:
    client = HubClient("http://127.0.0.1:9", threading.Event())
    with pytest.raises(HubAway):
        client.post("/nodes", {}, {}, patience_seconds=0.4)
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(HubAway, match="stops"):
        HubClient("http://127.0.0.1:9", stopping).post("/nodes", {}, {}, patience_seconds=1000)


CHILDREN = {
    "crash": "import os; os.abort()",
    "rubbish": "print('no event', flush=True); print('{}', flush=True); import sys; sys.exit(3)",
    "stubborn": "import json,signal,time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                "print(json.dumps({'event':'ready'}), flush=True)\ntime.sleep(600)",
    "chatty": "import json, sys\nfor n in range(20000): print(json.dumps({'event': 'progress', 'progress': n}), flush=True)\n"
              "sys.exit(3)",
    "hungry": "import time\nkept = b'x' * (300 << 20)\ntime.sleep(600)",
}


def start_child(tmp_path: Path, kind: str, limits: Limits) -> Session:
    for name in ("runner", "in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "runner" / "child.py").write_text(CHILDREN[kind])
    box = Box("none", tmp_path / "in", tmp_path / "out", tmp_path / "runner", None)
    return Session(box, sys.executable, limits, tmp_path / "log", limit_address_space=False)


@pytest.mark.parametrize(("kind", "said"), [("crash", "status -6"), ("rubbish", "status 3")])
def test_a_child_that_ends_by_itself_is_a_crash(tmp_path: Path, kind: str, said: str) -> None:
    session = start_child(tmp_path, kind, Limits())
    with pytest.raises(WorkFailed, match=said) as failed:
        session.wait_for("ready", 20)
    assert failed.value.code == FailureCode.CRASHED
    assert not session.alive


def test_a_child_that_floods_its_parent_fills_no_memory_and_its_end_is_seen(tmp_path: Path) -> None:
    session = start_child(tmp_path, "chatty", Limits())
    session._process.wait(60)  # nobody asks it anything meanwhile, as with an idle child
    assert session._events.qsize() <= 64
    with pytest.raises(WorkFailed, match="status 3"):
        session.wait_for("ready", 20)


def test_a_stuck_child_that_ignores_everything_is_killed(tmp_path: Path) -> None:
    session = start_child(tmp_path, "stubborn", Limits())
    session.wait_for("ready", 20)
    with pytest.raises(WorkFailed) as failed:
        session.ask("render", "frame", 0.3)
    assert failed.value.code == FailureCode.TIME_LIMIT
    assert not session.alive
    session.close()


def test_a_child_over_its_memory_is_killed(tmp_path: Path) -> None:
    session = start_child(tmp_path, "hungry", Limits(max_memory_bytes=100 << 20))
    with pytest.raises(WorkFailed) as failed:
        session.wait_for("ready", 20)
    assert failed.value.code == FailureCode.OUT_OF_MEMORY
    assert session.peak_memory_bytes > 100 << 20


HOSTILE = """
import json, os, sys
def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)
say("ready")
for line in sys.stdin:
    command = json.loads(line)
    if command["command"] == "limit":
        say("limited")
    elif command["command"] == "load":
        size = {"width": 1, "height": 1, "output_format": "PNG"}
        say("loaded", picture=size, warnings=[])
    elif command["command"] == "render":
        os.makedirs("frame.part.png/inside", exist_ok=True)
        if not os.path.lexists("link.part.png"):
            os.symlink("/etc/passwd", "link.part.png")
        say("frame", file=%r, seconds=1, device="CPU", fell_back=False)
    else:
        break
"""


@pytest.mark.parametrize("name", ["frame.part.png", "link.part.png", "gone.part.png", "", "..", "/", "../../frame.part.png"])
def test_a_child_that_names_what_is_no_picture_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "child.py").write_text(HOSTILE % name)
    monkeypatch.setattr("gpu_node.runners.blender.runner.RUNNER_FOLDER", tmp_path)
    scene = tmp_path / "scene" / "a.stl"
    scene.parent.mkdir()
    scene.write_text("solid nothing")
    runner = BlenderRunner(Host(sys.executable, "none"), tmp_path / "work", 1 << 20, 1 << 30)
    try:
        with pytest.raises(WorkFailed, match="the child named") as failed:
            runner.render(Scene("job", scene, scene.parent), {}, Limits(), 1)
        assert failed.value.code == FailureCode.CRASHED
        assert list((tmp_path / "work" / "pictures").iterdir()) == []
    finally:
        runner.close_all()
    assert not list((tmp_path / "work").glob("child-*"))


def test_a_path_with_a_space_is_one_folder(tmp_path: Path) -> None:
    home = tmp_path / "my programs"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    assert str(home) in python_folders(str(home / "bin" / "python"))


def test_a_home_belongs_to_one_node_at_a_time(tmp_path: Path) -> None:
    first = hold_home(tmp_path)
    with pytest.raises(HomeTaken, match="NODE_SLOTS"):
        hold_home(tmp_path)
    first.close()
    hold_home(tmp_path).close()


TRIES = """
import json, os, subprocess
def tries(path):
    try:
        with open(path, "wb"):
            return "written"
    except OSError as error:
        return os.strerror(error.errno)
found = {path: tries(path) for path in ("/x", "/dev/x", "/etc/x", "/in/x", "/runner/x", "/home/render/.config")}
sizes = {path: os.statvfs(path).f_blocks * os.statvfs(path).f_frsize for path in ("/tmp", "/home", "/dev/shm")}
box = subprocess.run(["unshare", "-Ur", "true"], capture_output=True).returncode
print(json.dumps({"event": "ready", "tries": found, "sizes": sizes, "box": box}), flush=True)
"""


@pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work on this machine")
@pytest.mark.parametrize("has_gpu", [False, True])
def test_what_a_child_may_write_is_limited_and_goes_with_it(tmp_path: Path, has_gpu: bool) -> None:
    """Files in memory are seen by no reading of a child's own memory; what is left in a home would start in the next job."""
    for name in ("runner", "in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "runner" / "child.py").write_text(TRIES)
    cache = tmp_path / "cache"
    box = Box("bubblewrap", tmp_path / "in", tmp_path / "out", tmp_path / "runner", cache if has_gpu else None)
    session = Session(box, sys.executable, Limits(), tmp_path / "log", limit_address_space=True)
    try:
        seen = session.wait_for("ready", 20)
    finally:
        session.close()
    closed = dict.fromkeys(("/x", "/dev/x", "/etc/x", "/in/x", "/runner/x"), "Read-only file system")
    assert seen["tries"] == {**closed, "/home/render/.config": "written"}
    assert set(seen["sizes"].values()) == {256 << 20}
    assert not list(tmp_path.rglob(".config"))
    assert (seen["box"] != 0) == can_forbid_namespaces()
    if has_gpu:
        assert {path.name for path in cache.iterdir()} == {".nv", ".cache"}, "the driver's kernels stay"
