"""One gevent process goes on answering while it takes in something heavy."""

import os
import subprocess
import sys

import pytest

from tests.api.conftest import ROOT

# A decoder that stays in its thread until it is told to go on: it blocks as C code does, not as a greenlet does. If it ran on
# the event loop, nobody could answer /health, and the pipe would never be written to.
PROGRAM = """
from gevent import monkey; monkey.patch_all()
import io, os
import gevent
from app.config import load
from app.factory import create_app
from app.flows import submission

entered, entered_write = os.pipe()
go_on, go_on_write = os.pipe()
app = create_app(load())

def heavy(*args, **kwargs):
    os.write(entered_write, b"x")
    os.read(go_on, 1)
    raise RuntimeError("enough")

submission.inspect_scene = heavy
form = {"file": (io.BytesIO(b"x"), "a.stl"), "clientWallet": "So11111111111111111111111111111111111111112"}
request = gevent.spawn(lambda: app.test_client().post("/render", data=form).status_code)
gevent.os.tp_read(entered, 1)
print("health", app.test_client().get("/stats").status_code, flush=True)
os.write(go_on_write, b"x")
print("upload", request.get(timeout=60), flush=True)
"""


def test_others_are_answered_while_a_scene_is_looked_at(environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", PROGRAM]
    try:
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=45)
    except subprocess.TimeoutExpired as stuck:
        pytest.fail(f"the event loop was held up: {stuck.stdout!r}")
    assert "health 200" in done.stdout, done.stderr[-2000:]
    assert "upload 500" in done.stdout



REFUSAL = """
from gevent import monkey; monkey.patch_all()
from app import offload
from app.errors import InvalidInput

def refuse(text):
    raise InvalidInput(text)

try:
    offload.run(refuse, "no scene")
except InvalidInput as error:
    print(error.message, offload.run(max, 1, 2))
"""


def test_a_refusal_beside_the_event_loop_is_raised_and_printed_nowhere() -> None:
    done = subprocess.run([sys.executable, "-c", REFUSAL], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("no scene 2\n", "", 0)
