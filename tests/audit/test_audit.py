"""The two audits of `make check` find what they are for, and never claim what they could not see."""

import json
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.audit import advisories
from tests.audit import secrets as scanner

HOLE = {"id": "PYSEC-0000-1", "aliases": ["CVE-0000-1"], "summary": "a hole", "modified": "2020-01-01T00:00:00Z",
        "published": "2020-01-01T00:00:00Z"}  # fmt: skip


class Database:
    """OSV's interface, since OSV cannot be reached from everywhere: it knows a hole in each of `holes`."""

    holes: set[str] = set()
    port = 0


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    found = Database()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = asked["package"]["name"]
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.9"}]}]
            affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
            body = json.dumps({"vulns": [{**HOLE, "affected": affected}]} if name in found.holes else {}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{server.server_port}/v1/query")
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = f"--hash=sha256:{'1' * 64}\n"
    (tmp_path / "requirements.lock").write_text(f"flask==3.1.3 {pin}gevent==26.9.0 {pin}")
    monkeypatch.setattr(advisories, "ROOT", tmp_path)
    monkeypatch.setattr(advisories, "LOCKS", ("requirements.lock",))


def test_a_known_hole_fails_the_check_unless_it_was_accepted(database: Database, lock: None, capsys, monkeypatch) -> None:
    database.holes = {"jinja2", "gevent"}
    assert advisories.main(("osv",)) == 1
    told = capsys.readouterr().out
    assert "gevent 26.9.0: PYSEC-0000-1, mended in 9.9" in told and "2 locked packages audited by osv: 1 known" in told
    monkeypatch.setattr(advisories, "ACCEPTED", {"CVE-0000-1": "a test's"})
    assert advisories.main(("osv",)) == 0


def test_a_database_that_does_not_know_the_canary_is_no_database(database: Database, lock: None, capsys) -> None:
    database.holes = {"gevent"}
    assert advisories.main(("osv",)) == 0
    told = capsys.readouterr()
    assert "NOT AUDITED: no advisory database (osv) answers here" in told.err and told.out == ""


def test_secrets_are_found_in_what_is_tracked(tmp_path: Path, monkeypatch, capsys) -> None:
    """Made here from halves, since this file is tracked, too."""
    numbers = json.dumps(list(secrets.token_bytes(64)))
    certain = {
        "AWS": "AKIA" + "IOSFODNN7EXAMPLE",
        "Private": "-----BEGIN RSA " + "PRIVATE KEY-----",
        "Stripe": "sk_" + "live_" + "a1B2" * 6,
        "of a hub": "ly_" + secrets.token_urlsafe(40),
        "key pair": numbers,
        "hex": "0x" + secrets.token_hex(32),
    }
    likely = {"Keyword": 'password = "' + 'Tr0ub4dor-and-3"', "Entropy": f'x = "{secrets.token_urlsafe(48)}"'}
    for folder in ("app", "tests"):
        for number, text in enumerate((*certain.values(), *likely.values())):
            path = tmp_path / folder / f"{number}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"\n{text}\n")
    monkeypatch.setattr(scanner, "ROOT", tmp_path)
    paths = [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.py"))]
    found = {path for path, _, _ in dict(scanner.scan(paths))}
    assert found == set(paths) - {f"tests/{len(certain) + number}.py" for number in range(len(likely))}
    monkeypatch.setattr(scanner, "tracked", lambda: paths)
    assert scanner.main([]) == 1
    told = capsys.readouterr().out
    assert "app/0.py:2: looks like a secret (AWS" in told and certain["AWS"] not in told
