"""The client for users' addresses, against a real server on this machine, and against names that lie."""

import http.server
import io
import json
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.addresses import resolve
from app.adapters.outbound import OutboundClient, validate_public_url
from app.errors import InvalidInput, Unavailable
from tests.factories.missing import go_without

PUBLIC = "93.184.216.34"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path, and remembers what it was asked."""

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers), b""))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/")
            self.end_headers()
        elif self.path == "/endless":
            self.answer_endlessly()
        elif self.path == "/silent":
            self.server.silence.wait(10)
        elif self.path == "/trickle":
            self.trickle()
        else:
            self.answer(b'{"status": "ok"}' if self.path == "/health" else b"no json")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.path, dict(self.headers), body))
        self.answer(b'{"status": "accepted"}', 503 if self.path == "/busy" else 200)

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_endlessly(self):
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.silence.is_set():
                self.wfile.write(b"x" * 65536)
        except OSError:
            self.close_connection = True  # the client hung up, as it should

    def trickle(self):
        """A byte of header now and then, each within any time-out for a single read."""
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.silence.wait(0.05):
                self.wfile.write(b"a")
        except OSError:
            self.close_connection = True

    def log_message(self, *arguments):
        """Quiet."""


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.silence = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.silence.set()
    server.shutdown()
    thread.join()
    server.server_close()


def url_of(server, path, host="127.0.0.1"):
    return f"http://{host}:{server.server_port}{path}"


@pytest.fixture
def client():
    return OutboundClient(allow_private=True, timeout_seconds=5, max_response_bytes=100_000)


def refusal(ask):
    with pytest.raises((InvalidInput, Unavailable)) as caught:
        ask()
    return caught.value.code


def test_sends_a_form_with_a_file(client, server):
    scene = io.BytesIO(b"BLENDER-v405" * 1000)
    answer = client.post_multipart(
        url_of(server, "/render"),
        {"file": ("a.blend", scene, "application/octet-stream")},
        {"jobId": "j1", "settings": json.dumps({"samples": 4})},
    )
    assert (answer.status, answer.json()) == (200, {"status": "accepted"})
    _, headers, body = server.seen[0]
    assert headers["Content-Type"].startswith("multipart/form-data")
    assert b'name="jobId"' in body and b"BLENDER-v405" * 1000 in body


def test_a_busy_provider_is_an_answer_not_an_error(client, server):
    assert client.post_multipart(url_of(server, "/busy"), {}, {"jobId": "j1"}).status == 503


def test_reads_json_and_names_answers_that_are_none(client, server):
    assert client.get_json(url_of(server, "/health")) == {"status": "ok"}
    assert refusal(lambda: client.get_json(url_of(server, "/text"))) == "ENDPOINT_BAD_ANSWER"


def test_the_host_header_keeps_the_name_and_the_name_is_looked_up_once(server):
    lookups = []
    answers = iter([["127.0.0.1"], ["10.255.255.1"]])

    def resolver(host, port):
        lookups.append(host)
        return next(answers)

    client = OutboundClient(True, resolver=resolver)
    client.get_json(url_of(server, "/health", "provider.example"))
    assert lookups == ["provider.example"]
    assert server.seen[0][1]["Host"] == f"provider.example:{server.server_port}"


def test_a_name_that_turns_private_is_refused_and_nothing_is_sent(server):
    """DNS rebinding: public when registered, private when used."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    url = url_of(server, "/health", "provider.example")

    def resolver(host, port):
        return next(answers)

    assert resolve(url, False, resolver).addresses == (PUBLIC,)
    assert refusal(lambda: OutboundClient(False, resolver=resolver).get_json(url)) == "URL_REFUSED"
    assert server.seen == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(server):
    client = OutboundClient(False, resolver=lambda host, port: [PUBLIC, "127.0.0.1"])
    assert refusal(lambda: client.get_json(url_of(server, "/health", "provider.example"))) == "URL_REFUSED"
    assert server.seen == []


def test_the_next_address_is_tried(server):
    with socket.socket() as closed:
        closed.bind(("127.0.0.2", 0))
        client = OutboundClient(True, resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"])
        assert client.get_json(url_of(server, "/health", "provider.example")) == {"status": "ok"}


def test_redirects_are_not_followed(client, server):
    assert refusal(lambda: client.request("GET", url_of(server, "/moved"))) == "ENDPOINT_REDIRECTED"
    assert len(server.seen) == 1


def test_an_endless_answer_is_cut_off(client, server):
    assert refusal(lambda: client.request("GET", url_of(server, "/endless"))) == "ENDPOINT_ANSWER_TOO_LARGE"


@pytest.mark.parametrize("path", ["/silent", "/trickle"])
def test_silence_and_trickles_end_by_the_deadline(client, server, path):
    assert (
        refusal(lambda: client.request("GET", url_of(server, path), timeout_seconds=0.3))
        == "ENDPOINT_TIMEOUT"
    )


def test_a_closed_port_and_an_unknown_name_are_named(client):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        assert refusal(lambda: client.request("GET", url)) == "ENDPOINT_UNREACHABLE"

    def nobody(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    unknown = OutboundClient(True, resolver=nobody)
    assert refusal(lambda: unknown.request("GET", "http://provider.example/")) == "ENDPOINT_UNKNOWN_HOST"


def test_proxies_from_the_environment_are_ignored(client, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert client.get_json(url_of(server, "/health")) == {"status": "ok"}


def test_nothing_is_sent_while_a_transaction_is_open(server):
    def refuse():
        raise RuntimeError("a unit of work is open")

    with pytest.raises(RuntimeError):
        OutboundClient(True, before_send=refuse).get_json(url_of(server, "/health"))
    assert server.seen == []


BAD_ADDRESSES = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:93.184.216.34",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:1::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "not-an-address",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_no_name_may_lead_to_a_special_address(address):
    assert (
        refusal(lambda: resolve("https://provider.example/", False, lambda host, port: [address]))
        == "URL_REFUSED"
    )


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "::ffff:127.0.0.1", "100.100.100.200"]
)
def test_link_local_stays_closed_where_private_is_allowed(address):
    assert (
        refusal(lambda: resolve("https://provider.example/", True, lambda host, port: [address]))
        == "URL_REFUSED"
    )


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_pass(address):
    assert resolve("https://provider.example/", False, lambda host, port: [address]).addresses == (address,)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://db.internal/",
        "http://printer.local/",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://example.com@127.0.0.1/",
        "http://:@example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "http://",
        "http:///path",
        "http://example.com:22/",
        "http://example.com:6379/",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\r\nX: y",
        "http://-example.com/",
        "http://exa_mple..com/",
        "http://１２７.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://127。0。0。1/",
        "http://example.com/" + "a" * 2100,
        7,
        None,
        "",
    ],
)
def test_urls_with_tricks_are_refused(url):
    assert refusal(lambda: validate_public_url(url)) == "URL_REFUSED"


@pytest.mark.parametrize(
    "url",
    [
        "http://my-server.com:4402",
        "https://provider.example/render?x=1",
        "http://93.184.216.34:8080/a",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/",
        "https://bücher.example/",
    ],
)
def test_plain_urls_are_taken_without_asking_anybody(url):
    assert validate_public_url(url).startswith(url.split(":")[0])


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_refused(text):
    for url in (text, f"http://{text}", f"https://{text}/x"):
        try:
            assert validate_public_url(url).startswith("http")
        except InvalidInput as error:
            assert error.code == "URL_REFUSED"


@given(st.integers(0, 2**32 - 1))
def test_numbers_are_no_hosts(number):
    for spelling in (str(number), hex(number), oct(number).replace("0o", "0")):
        assert refusal(lambda spelling=spelling: validate_public_url(f"http://{spelling}/")) == "URL_REFUSED"


@pytest.fixture
def secure_server(tmp_path):
    """The same server behind TLS, with a certificate for provider.example alone."""
    openssl = shutil.which("openssl")
    if openssl is None:
        go_without("openssl is not installed: no certificate can be made")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=provider.example", "-addext", "subjectAltName=DNS:provider.example"]
    algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = [openssl, "req", "-x509", *algorithm, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.silence, server.names = [], threading.Event(), []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda connection, name, context: server.names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server, ssl.create_default_context(cafile=certificate)
    server.shutdown()
    thread.join()
    server.server_close()


def test_tls_is_checked_against_the_name_not_the_pinned_address(secure_server):
    server, trust = secure_server
    client = OutboundClient(True, resolver=lambda host, port: ["127.0.0.1"], ssl_context=trust)
    assert client.get_json(f"https://provider.example:{server.server_port}/health") == {"status": "ok"}
    assert server.names == ["provider.example"]
    assert server.seen[0][1]["Host"] == f"provider.example:{server.server_port}"
    other = f"https://other.example:{server.server_port}/health"
    assert refusal(lambda: client.get_json(other)) == "ENDPOINT_UNREACHABLE"
    assert len(server.seen) == 1
