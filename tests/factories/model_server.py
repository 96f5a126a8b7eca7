"""A STAND-IN for a model's server: it answers OpenAI's chat/completions with canned text, images/generations with pictures of one
colour, videos with MP4 files that hold no film, and misbehaves when told to.

No model runs here; what is real is the HTTP between a node and such a server.
"""

import base64
import hashlib
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def picture(prompt: str, seed: object, width: int, height: int) -> bytes:
    """A PNG of one colour, which hangs on prompt and seed."""
    colour = hashlib.sha256(f"{prompt}:{seed}".encode()).digest()[:3]
    rows = (b"\0" + colour * width) * height
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def film(prompt: str) -> bytes:
    """The boxes of an MP4, with no film in them."""
    boxes = ((b"ftyp", b"isom\0\0\2\0isom"), (b"moov", b""), (b"mdat", hashlib.sha256(prompt.encode()).digest()))
    return b"".join(struct.pack(">I", 8 + len(data)) + name + data for name, data in boxes)


class ModelServer:
    """`behaviour` decides the next answers: fine, busy (503), refuse (400), garbage, empty, endless, drip, silent, redirect; of
    pictures also seedless (a server that knows no seed), small, cut, linked, unlocked (401); of videos failing, unnamed.
    `looks` is how often a video is looked at before it is there."""

    def __init__(self) -> None:
        self.behaviour = "fine"
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.looks = 1
        self.videos: dict[str, dict[str, Any]] = {}
        self.let_go = threading.Event()
        self.asked = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                is_form = self.headers["Content-Type"].startswith("multipart/form-data")
                body = self._form(sent) if is_form else json.loads(sent)
                owner.requests.append({"path": self.path, **body})
                owner.headers.append(dict(self.headers))
                owner.asked.set()
                try:
                    getattr(self, owner.behaviour)(body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def _form(self, sent: bytes) -> dict[str, Any]:
                head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
                message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + sent)
                return {
                    str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True).decode()
                    for part in message.iter_parts()
                }

            def do_GET(self) -> None:
                owner.requests.append({"path": self.path, "method": "GET"})
                video_id, _, rest = self.path.removeprefix("/v1/videos/").partition("/")
                found = owner.videos.get(video_id)
                if found is None:
                    self._send(404, b"{}")
                elif rest == "content":
                    self._send(200, b"<html>" if owner.behaviour == "garbage" else film(found["prompt"]))
                else:
                    found["looks"] -= 1
                    status = "in_progress" if found["looks"] > 0 or owner.behaviour == "silent" else "completed"
                    failed = {"status": "failed", "error": {"code": "out_of_tricks", "message": found["prompt"]}}
                    owner.asked.set()
                    self._send_json(200, failed if owner.behaviour == "failing" else {"id": video_id, "status": status})

            def do_DELETE(self) -> None:
                owner.requests.append({"path": self.path, "method": "DELETE"})
                owner.videos.pop(self.path.rpartition("/")[2], None)
                self._send_json(200, {"deleted": True})

            def _send_json(self, status: int, answer: Any) -> None:
                self._send(status, json.dumps(answer).encode())

            def _send(self, status: int, data: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def fine(self, body: dict[str, Any]) -> None:
                made = {"/v1/images/generations": self._draw, "/v1/videos": self._film}.get(self.path, self._chat)
                made(body)

            def _draw(self, body: dict[str, Any], shrink: int = 1, cut: int = 0) -> None:
                width, height = (int(side) // shrink for side in body["size"].split("x"))
                made = picture(body["prompt"], body.get("seed"), width, height)
                text = base64.b64encode(made[: len(made) - cut]).decode()
                self._send_json(200, {"created": 1, "data": [{"b64_json": text, "revised_prompt": body["prompt"]}]})

            def _film(self, body: dict[str, Any]) -> None:
                video_id = f"video-{len(owner.videos) + 1}"
                owner.videos[video_id] = {"prompt": body["prompt"], "looks": owner.looks}
                self._send_json(200, {"id": video_id, "status": "queued"})

            def seedless(self, body: dict[str, Any]) -> None:
                for name in ("seed", "response_format"):
                    if name in body:
                        said = {"message": f"Unknown parameter: '{name}'.", "param": name, "code": "unknown_parameter"}
                        return self._send_json(400, {"error": said})
                return self.fine(body)

            def small(self, body: dict[str, Any]) -> None:
                self._draw(body, shrink=2)

            def cut(self, body: dict[str, Any]) -> None:
                self._draw(body, cut=5)

            def linked(self, body: dict[str, Any]) -> None:
                self._send_json(200, {"data": [{"url": "http://127.0.0.1:1/" + body["prompt"]}]})

            def unlocked(self, body: dict[str, Any]) -> None:
                self._send_json(401, {"error": {"message": body["prompt"]}})

            def policy(self, body: dict[str, Any]) -> None:
                said = {"code": "content_policy_violation", "message": "never: " + body["prompt"]}
                self._send_json(400, {"error": said, "input": body["prompt"]})

            def failing(self, body: dict[str, Any]) -> None:
                self.fine(body)

            def unnamed(self, body: dict[str, Any]) -> None:
                self._send_json(200, {"id": "../models", "status": "queued"})

            def _chat(self, body: dict[str, Any]) -> None:
                said = "You said: " + body["messages"][-1]["content"]
                choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
                self._send(200, json.dumps({"object": "chat.completion", "model": body["model"], "choices": [choice]}).encode())

            def busy(self, _body: dict[str, Any]) -> None:
                self._send(503, b"the model is loading")

            def refuse(self, _body: dict[str, Any]) -> None:
                self._send(400, b'{"error":{"message":"max_tokens is too large"}}')

            def garbage(self, body: dict[str, Any]) -> None:
                if self.path == "/v1/videos":
                    return self._film(body)
                return self._send(200, b"<html>hello</html>")

            def empty(self, _body: dict[str, Any]) -> None:
                self._send(200, b'{"choices":[]}')

            def redirect(self, _body: dict[str, Any]) -> None:
                self._send(307, b"", Location="http://127.0.0.1:1/")

            def endless(self, _body: dict[str, Any]) -> None:
                self._begin_chunks()
                while True:
                    self._chunk(b"x" * 65536)

            def drip(self, _body: dict[str, Any]) -> None:
                self._begin_chunks()
                while not owner.let_go.wait(0.05):
                    self._chunk(b" ")

            def silent(self, body: dict[str, Any]) -> None:
                if self.path == "/v1/videos":
                    return self._film(body)
                owner.let_go.wait(60)
                self.close_connection = True
                return None

            def _begin_chunks(self) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
