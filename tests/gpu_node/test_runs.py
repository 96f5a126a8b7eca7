"""Runs on a node: echo, the processor benchmark, and inference against a stand-in for a model's server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_node.agent import Agent
from gpu_node.config import SettingError, read_settings
from gpu_node.failures import FailureCode, WorkFailed, WorkStopped
from gpu_node.runners.benchmark.runner import BenchmarkRunner
from gpu_node.runners.echo import EchoRunner
from gpu_node.runners.inference import InferenceRunner
from gpu_node.runners.inference import ModelServer as Server
from gpu_node.session import Limits
from tests.factories.model_server import ModelServer, model_server
from tests.gpu_node.fake_hub import FakeHub

LIMITS = Limits(max_seconds=30, max_memory_bytes=1 << 30, max_output_bytes=1 << 20, max_pixels=1)
REQUEST = {"messages": [{"role": "user", "content": "hello"}], "temperature": 0, "stream": True}


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


def wanted() -> bool:
    return False


def ask(
    served: ModelServer, folder: Path, request: Any = REQUEST, limits: Limits = LIMITS, stopped: Any = wanted, **more: Any
) -> Any:
    server = Server(**{"base_url": served.url, "model": "tiny", **more})
    payload = request if isinstance(request, bytes) else json.dumps(request).encode()
    path, content_type = InferenceRunner(server).run("upload:1", payload, limits, folder, stopped)
    assert content_type == "application/json"
    return json.loads(path.read_bytes())


def test_a_model_is_asked_for_one_whole_answer(model: ModelServer, tmp_path: Path) -> None:
    answer = ask(model, tmp_path, api_key="secret")
    assert answer["choices"][0]["message"]["content"] == "You said: hello"
    [request] = model.requests
    assert request == {"path": "/v1/chat/completions", "messages": REQUEST["messages"], "temperature": 0, "model": "tiny"}
    assert model.headers[0]["Authorization"] == "Bearer secret"
    ask(model, tmp_path, {**REQUEST, "model": "theirs"}, model=None)
    assert model.requests[1]["model"] == "theirs" and "Authorization" not in model.headers[1]


@pytest.mark.parametrize(
    ("behaviour", "code", "said"),
    [("busy", "INFERENCE_FAILED", "503: the model is loading"), ("refuse", "INFERENCE_REFUSED", "max_tokens is too large"),
     ("garbage", "INFERENCE_GARBLED", "<html>"), ("empty", "INFERENCE_GARBLED", "choices"),
     ("redirect", "INFERENCE_REFUSED", "307"), ("endless", "OUTPUT_LIMIT", "1048576"),
     ("drip", "TIME_LIMIT", "1 s"), ("silent", "TIME_LIMIT", "1 s")],
)
def test_each_trouble_of_a_server_has_its_code(
    model: ModelServer, tmp_path: Path, behaviour: str, code: str, said: str
) -> None:
    model.behaviour = behaviour
    with pytest.raises(WorkFailed) as failed:
        ask(model, tmp_path, max_seconds=1.0 if code == "TIME_LIMIT" else 20.0)
    assert failed.value.code == code and said in failed.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_told_so(model: ModelServer, tmp_path: Path) -> None:
    with pytest.raises(WorkFailed) as failed:
        ask(model, tmp_path, base_url="http://127.0.0.1:1/v1")
    assert failed.value.code == FailureCode.INFERENCE_AWAY


@pytest.mark.parametrize("request_", [b"{", b"[]", b"7", {}, {"messages": []}, {"messages": "x"}, b"[" * 100_000])
def test_what_is_no_request_never_reaches_the_server(model: ModelServer, tmp_path: Path, request_: Any) -> None:
    with pytest.raises(WorkFailed) as failed:
        ask(model, tmp_path, request_)
    assert failed.value.code == FailureCode.PAYLOAD_INVALID
    with pytest.raises(WorkFailed) as failed:
        ask(model, tmp_path, {"messages": [1]}, model=None)
    assert failed.value.code == FailureCode.PAYLOAD_INVALID and model.requests == []


def test_work_that_is_not_wanted_any_more_is_left_at_once(model: ModelServer, tmp_path: Path) -> None:
    model.behaviour = "silent"
    with pytest.raises(WorkStopped):
        ask(model, tmp_path, stopped=model.asked.is_set)


def test_without_bytes_there_is_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed) as failed:
        InferenceRunner(Server("http://127.0.0.1:1")).run("s3://theirs/x", None, LIMITS, tmp_path, wanted)
    assert failed.value.code == FailureCode.INPUT_UNAVAILABLE and "s3://theirs/x" in failed.value.message


def test_an_echo_gives_back_bytes_or_reference_within_bounds(tmp_path: Path) -> None:
    assert EchoRunner().run("s3://b/k", None, LIMITS, tmp_path, wanted)[0].read_bytes() == b"s3://b/k"
    assert EchoRunner().run("x", b"\0\xff", LIMITS, tmp_path, wanted)[0].read_bytes() == b"\0\xff"
    with pytest.raises(WorkFailed) as failed:
        EchoRunner().run("x", b"123", replace(LIMITS, max_output_bytes=2), tmp_path, wanted)
    assert failed.value.code == FailureCode.OUTPUT_LIMIT


def test_a_benchmark_measures_for_as_long_as_asked(tmp_path: Path) -> None:
    path, content_type = BenchmarkRunner().run("", b'{"seconds": 0.4}', LIMITS, tmp_path, wanted)
    found = json.loads(path.read_bytes())
    assert content_type == "application/json" and found["benchmark"] == "cpu" and found["cpu_count"] >= 1
    assert found["seconds"] >= 0.4
    for name in ("sha256_bytes_per_second", "sha256_bytes_per_second_all_cores", "float_operations_per_second"):
        assert found[name] > 1000


BAD_PAYLOADS = [b"{", b"[]", b'{"seconds": 0}', b'{"seconds": 31}', b'{"seconds": "2"}', b'{"seconds": true}',
                b'{"seconds": NaN}', b'{"seconds": -1}']


@pytest.mark.parametrize("payload", BAD_PAYLOADS)
def test_a_benchmark_of_nonsense_is_refused(payload: bytes, tmp_path: Path) -> None:
    with pytest.raises(WorkFailed) as failed:
        BenchmarkRunner().run("", payload, LIMITS, tmp_path, wanted)
    assert failed.value.code == FailureCode.PAYLOAD_INVALID


def test_a_benchmark_stops_when_told_and_at_its_limit(tmp_path: Path) -> None:
    with pytest.raises(WorkStopped):
        BenchmarkRunner().run("", b'{"seconds": 30}', LIMITS, tmp_path, lambda: True)
    with pytest.raises(WorkFailed) as failed:
        BenchmarkRunner().run("", b'{"seconds": 30}', replace(LIMITS, max_seconds=0.2), tmp_path, wanted)
    assert failed.value.code == FailureCode.TIME_LIMIT


def test_settings_name_what_is_missing() -> None:
    with pytest.raises(SettingError, match="NODE_INFERENCE_URL"):
        read_settings({"NODE_CAPABILITIES": "render,inference"})
    found = read_settings({"NODE_CAPABILITIES": "inference", "NODE_INFERENCE_URL": "http://127.0.0.1:8080/v1/"})
    assert (found.inference_url, found.inference_model, found.inference_seconds) == ("http://127.0.0.1:8080/v1", None, 300.0)


@pytest.fixture
def agent(hub: FakeHub, start_agent: Callable[..., Agent], model: ModelServer) -> Agent:
    return start_agent(NODE_CAPABILITIES="render,compute,inference", NODE_INFERENCE_URL=model.url, NODE_INFERENCE_MODEL="tiny",
                       NODE_MAX_PAYLOAD_BYTES="4096")


def state_of(hub: FakeHub, job_id: str) -> Callable[[], bool]:
    return lambda: hub.of(job_id)[0].state in ("completed", "failed")


def test_a_node_takes_every_kind_of_run_beside_pictures(
    hub: FakeHub, agent: Agent, scenes: dict[str, Path], model: ModelServer
) -> None:
    made = {
        "echo": hub.add_run("echo", b"hello"), "reference": hub.add_run("echo", ref="s3://theirs/x"),
        "cpu_benchmark": hub.add_run("cpu_benchmark", b'{"seconds": 0.2}'),
        "inference": hub.add_run("inference", json.dumps(REQUEST).encode()),
        "picture": hub.add_job(scenes["turntable"], [1]),
    }
    agent.ring()
    results = {}
    for name, job_id in made.items():
        hub.wait(state_of(hub, job_id))
        [unit] = hub.of(job_id)
        assert unit.state == "completed", (name, unit.failures)
        results[name] = hub.files[f"/files/result/{unit.attempt_id}"]
    assert (results["echo"], results["reference"]) == (b"hello", b"s3://theirs/x")
    assert json.loads(results["cpu_benchmark"])["benchmark"] == "cpu"
    assert json.loads(results["inference"])["choices"][0]["message"]["content"] == "You said: hello"
    assert not any((agent.settings.home / "work" / "runs").iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    ("kind", "payload", "more", "code"),
    [("echo", b"x" * 5000, {}, "INPUT_UNAVAILABLE"), ("echo", b"x", {"sha256": "0" * 64}, "INPUT_CORRUPT"),
     ("echo", b"xx", {"limits": {"max_output_bytes": 1}}, "OUTPUT_LIMIT"), ("inference", b"{", {}, "PAYLOAD_INVALID"),
     ("inference", None, {}, "INPUT_UNAVAILABLE"), ("compute", b"x", {}, "ENGINE_UNSUPPORTED")],
)
def test_a_run_that_cannot_be_done_is_reported(
    hub: FakeHub, agent: Agent, kind: str, payload: bytes | None, more: dict[str, Any], code: str
) -> None:
    job_id = hub.add_run(kind, payload, **more)
    agent.ring()
    hub.wait(state_of(hub, job_id))
    assert [failure["code"] for failure in hub.of(job_id)[0].failures] == [code]


def test_a_cancelled_inference_frees_the_node_for_others(hub: FakeHub, agent: Agent, model: ModelServer) -> None:
    model.behaviour = "silent"
    job_id = hub.add_run("inference", json.dumps(REQUEST).encode())
    agent.ring()
    assert model.asked.wait(30)
    hub.cancel(job_id)
    other = hub.add_run("echo", b"next")
    hub.wait(state_of(hub, other), 30)
    assert hub.of(other)[0].state == "completed"


def test_a_drain_gives_up_an_inference_that_takes_too_long(
    hub: FakeHub, start_agent: Callable[..., Agent], model: ModelServer
) -> None:
    model.behaviour = "silent"
    agent = start_agent(NODE_CAPABILITIES="inference", NODE_INFERENCE_URL=model.url, NODE_DRAIN_SECONDS="0.5",
                        NODE_INFERENCE_MODEL="tiny")
    job_id = hub.add_run("inference", json.dumps(REQUEST).encode())
    agent.ring()
    assert model.asked.wait(30)
    closing = threading.Thread(target=agent.close)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert hub.of(job_id)[0].state == "queued", "it goes back, unharmed"
