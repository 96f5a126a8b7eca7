"""What only a real server shows: bodies of unknown length, and uploads far larger than the memory they may take."""

import http.client
import json
import socket
from collections.abc import Iterator

import psutil
import pytest

from devnet.payer import Payer
from tests.relay.conftest import Api, running_api

MIB = 1024 * 1024


@pytest.fixture
def api(environment: dict[str, str], tmp_path) -> Iterator[Api]:
    with running_api({**environment, "MAX_UPLOAD_BYTES": str(300 * MIB)}, tmp_path / "api.log") as found:
        yield found


def endless(chunk: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield chunk


@pytest.mark.parametrize(("method", "path"), [("POST", "/render/pay"), ("PUT", "/provider/status"), ("POST", "/node/v1/nodes")])
def test_a_json_body_of_unknown_length_is_413_past_a_mebibyte(api: Api, method: str, path: str) -> None:
    body = endless(b'{"a":"' + b"x" * 1000, 1100)
    answer = api.request(method, path, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, answer.data
    assert answer.json.get("success") is False or answer.json["error"]["code"] == "TOO_LARGE"
    assert api.get("/health").status_code == 200


def form(size_bytes: int, wallet: str) -> Iterator[bytes]:
    """A multipart form whose file is made as it is sent."""
    yield f'--b\r\nContent-Disposition: form-data; name="clientWallet"\r\n\r\n{wallet}\r\n'.encode()
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="scene.blend"\r\n\r\n'
    yield from endless(b"x" * MIB, size_bytes // MIB)
    yield b"\r\n--b--\r\n"


def test_an_upload_is_streamed_and_never_held_in_memory(api: Api, solana_url: str) -> None:
    (worker,) = psutil.Process(api.process.pid).children()
    before = worker.memory_info().rss
    wallet, head = Payer(solana_url).address, {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.post("/render", data=form(250 * MIB, wallet), headers=head)
    assert (answer.status_code, answer.json["success"]) == (400, False), answer.data  # it is no scene
    peak = int(next(line for line in open(f"/proc/{worker.pid}/status") if line.startswith("VmHWM")).split()[1]) * 1024
    assert peak - before < 100 * MIB


def test_an_upload_over_the_hubs_own_limit_is_413_in_the_envelope(api: Api) -> None:
    head = f"POST /render HTTP/1.1\r\nHost: hub\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {400 * MIB}"
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as plain:
        plain.sendall(f"{head}\r\n\r\n".encode())  # announced, never sent: the announcement is enough
        answer = http.client.HTTPResponse(plain)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read())["success"] is False


def test_an_upload_of_unknown_length_over_the_limit_is_413_too(api: Api, solana_url: str) -> None:
    head = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.post("/render", data=form(302 * MIB, Payer(solana_url).address), headers=head)
    assert answer.status_code == 413, answer.data
    assert answer.json["success"] is False
