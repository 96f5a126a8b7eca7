"""Odd bodies, at each dialect's door: refused in its own words, never a 5xx. tests/relay/test_hostile_requests.py has what only a
real server shows."""

import gzip
import io
import itertools
import json
import tracemalloc
from dataclasses import replace

from flask.testing import FlaskClient

from app.api.bodies import Arriving
from app.config import Settings
from tests.api.test_routes import error_of

DOORS = ("/render/pay", "/node/v1/nodes", "/api/v1/auth/login", "/rnp/v1/wallet/challenge", "/api/v1/workers", "/nowhere")
JSON = {"Content-Type": "application/json"}
ODD = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "never closed": b'{"a":' * 60_000,
    "a number of 100,000 digits": b'{"a":' + b"9" * 100_000 + b"}",
    "a number past every float": b'{"a":1e999999999}',
    "not a number": b'{"a":NaN}',
    "half a character": b'{"a":"\\ud800"}',
    "NUL": b'{"a":"\\u0000"}',
    "a name twice": b'{"email":"jane@example.com","password":"x","email":"eve@example.com"}',
    "a name twice, further in": b'{"a":[{"amount":1,"amount":2}]}',
    "a name twice among 50,000": json.dumps({f"k{n}": n for n in range(50_000)}).encode()[:-1] + b',"k7":1}',
    "no UTF-8": b'{"a":"\xff\xfe"}',
    "another alphabet": '{"a":1}'.encode("utf-16"),
}


def test_odd_json_is_refused_in_the_dialect_s_words(client: FlaskClient) -> None:
    for path, (name, body) in itertools.product(DOORS, ODD.items()):
        answer = client.post(path, data=body, headers=JSON)
        assert answer.status_code in (400, 401, 404, 422), (path, name, answer.status_code)
        assert error_of(client, path, answer), (path, name)
        assert name != "a name twice" or "'email' twice" in answer.text and answer.status_code in (400, 422), path


def test_a_packed_body_is_415_and_never_unpacked(client: FlaskClient) -> None:
    packed = gzip.compress(b" " * 50_000_000, 9)
    for path, encoding in itertools.product(DOORS, ("gzip", "BR", "identity, gzip")):
        answer = client.post(path, data=packed, headers={**JSON, "Content-Encoding": encoding})
        assert (answer.status_code, bool(error_of(client, path, answer))) == (415, True), (path, encoding)


def test_a_body_over_a_mebibyte_is_413_whatever_it_says_it_is(client: FlaskClient) -> None:
    kinds = ("application/json", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream")
    body = b'{"a":"' + b"x" * 1_100_000 + b'"}'
    for path, kind, is_told in itertools.product(DOORS, kinds, (True, False)):
        unsaid = {"input_stream": io.BytesIO(body), "environ_overrides": {"wsgi.input_terminated": True}}
        answer = client.post(path, content_type=kind, **({"data": body} if is_told else unsaid))
        assert (answer.status_code, bool(error_of(client, path, answer))) == (413, True), (path, kind, is_told)


def test_a_body_of_just_a_mebibyte_is_read_however_it_comes(client: FlaskClient) -> None:
    body = b'{"a":"' + b"x" * (2**20 - 8) + b'"}'
    for more, status in ((b"", 400), (b" ", 413)):
        told = client.post("/render/pay", data=body + more, headers={**JSON, "Content-Encoding": ""})
        stream = io.BytesIO(body + more)
        unsaid = client.post(
            "/render/pay", input_stream=stream, headers=JSON, environ_overrides={"wsgi.input_terminated": True}
        )
        assert (told.status_code, unsaid.status_code) == (status, status), len(body + more)


def parts(count: int, head: str = 'Content-Disposition: form-data; name="f{}"') -> bytes:
    return b"".join(f"--b\r\n{head.format(number)}\r\n\r\nx\r\n".encode() for number in range(count)) + b"--b--\r\n"


FORMS = {
    "100,000 fields": parts(100_000),
    "100,000 files": parts(100_000, 'Content-Disposition: form-data; name="file"; filename="{}.blend"'),
    "a field of 20 MiB": b'--b\r\nContent-Disposition: form-data; name="settings"\r\n\r\n' + b"x" * 20_000_000 + b"\r\n--b--\r\n",
    "a head of 20 MiB": b"--b\r\nContent-Disposition: form-data; name=" + b"x" * 20_000_000 + b"\r\n\r\nx\r\n--b--\r\n",
    "no end": b"--b\r\nContent-Disposition: form-data",
    "nothing but line ends": b"\r\n" * 5_000_000,
}


def test_a_hostile_form_is_refused_in_bounded_memory(client: FlaskClient) -> None:
    head = {"Content-Type": "multipart/form-data; boundary=b"}
    for path, (name, body) in itertools.product(("/render", *DOORS), FORMS.items()):
        stream = io.BytesIO(body)
        tracemalloc.start()
        try:
            answer = client.post(path, input_stream=stream, headers=head, content_length=len(body))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert answer.status_code in (400, 401, 404, 413, 422), (path, name, answer.status_code)
        assert error_of(client, path, answer) and peak < 8_000_000, (path, name, peak)


def test_the_slowest_body_that_may_come_counts_before_patience_is_over() -> None:
    asked = list[int]()

    class Line(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            asked.append(size)
            return b"x" * size

    for rate, patience in ((8192, 30), (1024, 30), (8192, 1), (1, 1)):
        slow = replace(Settings(), body_bytes_per_second=rate, body_patience_seconds=patience)
        Arriving(Line(), slow).readinto(bytearray(1_000_000))
    assert asked == [65_536, 15_360, 4096, 1024]  # gunicorn hands on no less than 1024
