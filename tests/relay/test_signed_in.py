"""Signing in against real API processes: a hash holds up nobody else, and a sign-in that ends has ended everywhere."""

import os
import signal
import subprocess
import sys
import uuid
from typing import Any

import psutil
import pytest

from tests.api.conftest import ROOT
from tests.relay.conftest import Api

PASSWORD = "correct horse battery"
# As in test_event_loop.py: a hash that computes until it is told to stop, in C's way and not in a greenlet's.
PROGRAM = """
from gevent import monkey; monkey.patch_all()
import os
import gevent
from app.config import load
from app.factory import create_app
from app.values import passwords

entered, entered_write = os.pipe()
go_on, go_on_write = os.pipe()
app = create_app(load())
really = {name: getattr(passwords, name) for name in ("hash_password", "is_password")}

def slowly(name):
    def hash_it(*args):
        os.write(entered_write, b"x")
        os.read(go_on, 1)
        return really[name](*args)
    return hash_it

body = {"email": "jane@example.com", "name": "Jane", "password": "correct horse battery"}
for name, path in (("hash_password", "register"), ("is_password", "login")):
    setattr(passwords, name, slowly(name))
    request = gevent.spawn(lambda: app.test_client().post("/api/v1/auth/" + path, json=body).status_code)
    gevent.os.tp_read(entered, 1)
    ready = app.test_client().get("/api/v1/health/ready").json
    print(path, ready["status"], flush=True)
    os.write(go_on_write, b"x")
    print(path, request.get(timeout=60), flush=True)
"""


def test_others_are_answered_while_a_password_is_hashed(environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", PROGRAM]
    try:
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=90)
    except subprocess.TimeoutExpired as stuck:
        pytest.fail(f"the event loop was held up: {stuck.stdout!r}")
    said = [line for line in done.stdout.splitlines() if line.startswith(("register", "login"))]
    assert said == ["register ready", "register 201", "login ready", "login 200"], done.stderr[-2000:]


def call(api: Api, method: str, path: str, token: str, **options: Any) -> Any:
    return api.request(method, f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"}, **options)


def test_a_sign_in_ends_at_once_in_every_process(apis: tuple[Api, Api]) -> None:
    first, second = apis
    body = {"email": f"{uuid.uuid4()}@example.com", "name": "Jane", "password": PASSWORD}
    assert first.post("/api/v1/auth/register", json=body).status_code == 201
    tokens = second.post("/api/v1/auth/login", json=body).json
    for api in apis:
        assert call(api, "GET", "credits/balance", tokens["access_token"]).status_code == 200
    assert call(first, "POST", "auth/logout", tokens["access_token"]).status_code == 200
    for api in apis:
        assert call(api, "GET", "credits/balance", tokens["access_token"]).status_code == 401
        answer = api.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert answer.status_code == 401 and set(answer.json) == {"detail"}


def test_a_token_that_was_used_before_ends_the_sign_in_in_every_process(apis: tuple[Api, Api]) -> None:
    first, second = apis
    body = {"email": f"{uuid.uuid4()}@example.com", "name": "Jane", "password": PASSWORD}
    oldest = first.post("/api/v1/auth/register", json=body).json["tokens"]
    older = second.post("/api/v1/auth/refresh", json={"refresh_token": oldest["refresh_token"]}).json
    newest = first.post("/api/v1/auth/refresh", json={"refresh_token": older["refresh_token"]}).json
    assert second.post("/api/v1/auth/refresh", json={"refresh_token": oldest["refresh_token"]}).status_code == 401
    for api in apis:
        assert call(api, "GET", "credits/balance", newest["access_token"]).status_code == 401
        assert api.post("/api/v1/auth/refresh", json={"refresh_token": newest["refresh_token"]}).status_code == 401


def test_a_database_that_hangs_is_said_and_comes_back(apis: tuple[Api, Api], postgres, database_url: str) -> None:
    """Its servers for this database are stopped: connected, and silent."""
    first, _ = apis
    name = database_url.partition("?")[0].rsplit("/", 1)[1]
    assert first.get("/api/v1/health/ready").json["status"] == "ready"
    stopped = [process for process in psutil.process_iter(["cmdline"]) if f" {name} " in " ".join(process.info["cmdline"] or ())]
    assert stopped, "no server process of this database was found"
    try:
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        answer = first.get("/api/v1/health/ready")
        assert (answer.status_code, answer.json["status"]) == (200, "degraded")
        assert answer.json["checks"] == {"database": "unavailable", "redis": "connected"}
        assert first.get("/api/v1/health").status_code == 200
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)
    assert first.get("/api/v1/health/ready").json["status"] == "ready"
