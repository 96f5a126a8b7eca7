"""docker-compose.yml at work, in production: every service's exact command line, health check, user, volumes and secrets.

No container engine can be had here: `engine.py` says what stands for one, and what is not imitated. Grafana's server can't be had
either. The chain is the local one under a name of its own: what production refuses is a chain on the hub's own machine.
"""

import json
import os
import shlex
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from solders.keypair import Keypair

from app.stack import secret_files
from tests.factories import compose as composing
from tests.factories.missing import go_without
from tests.system.engine import Engine
from tests.system.images import PROGRAMS, all_images

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]
NOT_HERE = {"grafana"}
FIRST, LAST = ("postgres", "redis", "rabbitmq"), ("migrate", "node")
RPC = {"image": "rpc", "networks": ["outside"], "user": "10001:10001", "command": ["--host", "0.0.0.0", "--slot-ms", "25"]}
NAMES = {"hub.internal": "api", "rpc.internal": "rpc", "chat.internal": "host"}
VARIABLES = {
    "SOLANA_RPC_URL": "http://rpc.internal:8899",
    "PUBLIC_URL": "http://hub.internal:8000",
    "PUBLIC_HOST": "hub.internal",
    "NODE_CAPABILITIES": "render,compute",
}
PRICING = {"pricePerFrame": 0.001, "pricePerSecond": 0.0001, "pricePerGb": 0.01, "minimumPrice": 0.005, "currency": "SOL"}
SPEC = {"supportedFormats": [".blend"], "renderEngines": ["cycles"], "maxFileSize": 2000}


class Chat(ThreadingHTTPServer):
    """Where alerts are told: keeps what Alertmanager posts."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        super().__init__(("0.0.0.0", 8080), ChatHandler)


class ChatHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # noqa: N802  the library's name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The test's output stays its own."""


def make_secrets(folder: Path) -> Path:
    """As docs/deploying.md says: made in a folder of the hub's user, and the three addresses written by hand."""
    secret_files.make(folder)
    for name in secret_files.ALERTS:
        (folder / name).write_text(f"http://chat.internal:8080/{name}\n")
    (folder / "enrol_key").write_text("not known yet\n")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 10001, 10001)
    return folder


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Everything that docker-compose.yml starts, healthy, but the node."""
    missing = [f"{program} ({package})" for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        go_without(f"the production stack wants root and Debian's {', '.join(missing) or 'packages'}: make system-packages")
    folder = tmp_path_factory.mktemp("engine")
    secrets = make_secrets(folder / "secrets")
    compose = composing.fill(composing.raw(), {**VARIABLES, "SECRETS_DIR": str(secrets)})
    found = Engine(compose, folder, all_images(folder), NAMES)
    found.open()
    try:
        with found.entered():
            started(found)
            yield found
    finally:
        found.close()


def started(engine: Engine) -> None:
    names = [name for name in engine.compose["services"] if name not in NOT_HERE]
    engine.create(*names, rpc=RPC)
    for name in ("rpc", *FIRST):
        engine.start(name)
    for name in FIRST:
        engine.wait_healthy(name)
    assert engine.run("migrate") == 0, engine.tail("migrate")
    rest = [name for name in names if name not in (*FIRST, *LAST)]
    for name in rest:
        engine.start(name)
    for name in rest:
        engine.wait_healthy(name, 150)


@pytest.fixture(scope="module")
def hub(engine: Engine) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{engine.address('api')}:8000", timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def chat(engine: Engine) -> Iterator[Chat]:
    server = Chat()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def wait_for(what: Any, seconds: float = 90, why_not: Any = str) -> Any:
    """What `what` finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"nothing in {seconds} s: {why_not()}"
        time.sleep(0.25)  # these servers can only be asked
    return found


def database(engine: Engine, name: str = "lightyard") -> psycopg.Connection[Any]:
    password = (engine.folder / "secrets" / "postgres_password").read_text().strip()
    place = {"host": engine.address("postgres", "data"), "user": "lightyard", "password": password, "dbname": name}
    return psycopg.connect(**place, autocommit=True)


def test_it_is_production_and_unsafe_settings_are_refused(engine: Engine, hub: httpx.Client) -> None:
    assert hub.get("/version").json()["environment"] == "production"
    good = engine.execute("api", "lightyard", "check-config")
    assert good.returncode == 0 and "production would boot" in good.stdout, good.stderr
    bad = engine.execute("api", "lightyard", "check-config", SOLANA_RPC_URL="http://127.0.0.1:8899", DEBUG="on")
    assert bad.returncode == 1 and "SOLANA_RPC_URL" in bad.stdout and "DEBUG" in bad.stdout
    twice = engine.execute("api", "lightyard", "check-config", SECRET_KEY="x" * 40)
    assert twice.returncode == 1 and "SECRET_KEY and SECRET_KEY_FILE are both set" in twice.stderr
    assert hub.get("/metrics").status_code == 401, "the token's file counts"


@pytest.mark.parametrize("name", ["api", "worker", "signer", "backup", "postgres", "redis", "rabbitmq", "prometheus"])
def test_a_service_has_no_root_no_rights_and_no_writable_root(engine: Engine, name: str) -> None:
    found = engine.execute(name, "sh", "-c", "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; touch /usr/x /x")
    uid, *rights = found.stdout.split("\n")
    assert uid != "0" and found.stderr.count("Read-only file system") == 2, found
    assert [line.split()[1].strip("0") for line in rights if line] == ["", "", "1"]


def test_networks_keep_apart_who_has_nothing_to_say_to_each_other(engine: Engine) -> None:
    """The signer reaches nobody; Prometheus reaches the exporters and no database."""
    assert engine.execute("signer", "ls", "/sys/class/net").returncode == 0
    ask = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()"
    where = engine.address("postgres", "data")
    for name, host in (("signer", where), ("prometheus", where)):
        refused = engine.execute(name, "/usr/bin/env", "python3", "-c", ask, host, "5432")
        assert refused.returncode == 1 and "unreachable" in refused.stderr, refused
    names = engine.execute("prometheus", "cat", "/etc/hosts").stdout
    assert "postgres-exporter" in names and " postgres\n" not in names


def test_a_dispatched_job_is_done_by_a_node_that_came_over_the_public_address(engine: Engine, hub: httpx.Client) -> None:
    (engine.folder / "secrets" / "enrol_key").write_text(provider_key(engine, hub))
    engine.start("node")
    user = {"email": "jane@example.com", "name": "Jane", "password": "correct horse battery"}
    made = hub.post("/api/v1/auth/register", json=user).json()
    hub.headers["Authorization"] = f"Bearer {made['tokens']['access_token']}"
    granted = engine.execute("api", "lightyard", "credits", "grant", user["email"], "100")
    assert granted.returncode == 0, granted.stderr
    order = hub.post("/api/v1/uploads", json={"filename": "b.json", "size_bytes": 16, "content_type": "application/json"}).json()
    sent = httpx.put(here(engine, order["upload_url"]), content=b'{"seconds": 0.5}', headers=order.get("headers"))
    assert sent.status_code == 201, sent.text
    body = {"job_type": "cpu_benchmark", "payload_ref": order["payload_ref"]}
    answer = wait_for(lambda: dispatched(hub, body), 120, lambda: engine.tail("node"))
    job = wait_for(lambda: ended(hub, answer["job_id"]), 120, lambda: engine.tail("node"))
    assert job["status"] == "COMPLETED", (job, engine.tail("node"))
    result = hub.get(f"/api/v1/jobs/{answer['job_id']}/result").json()
    assert httpx.get(here(engine, result["download_url"])).status_code == 200
    engine.wait_healthy("node")


def test_a_node_that_cannot_box_strangers_scenes_in_refuses_to_work(engine: Engine) -> None:
    """Under an engine's usual masks over /proc: why the node's container has them off."""
    masked = {**engine.compose["services"]["node"], "security_opt": ["no-new-privileges:true"], "volumes": []}
    masked["tmpfs"] = ["/tmp", "/home/node/state"]
    engine.create(**{"node-run-masked": masked})
    assert engine.run("node-run-masked") == 1
    assert "bubblewrap does not work on this host" in engine.tail("node-run-masked")


def provider_key(engine: Engine, hub: httpx.Client) -> str:
    """A provider signs in with its wallet's signature, and the operator makes it a key."""
    wallet = Keypair()
    address = str(wallet.pubkey())
    offer = {"name": "farm", "wallet": address, "endpoint": "https://farm.example", "spec": SPEC, "pricing": PRICING}
    offer["signature"] = str(wallet.sign_message(f"register:{address}:farm".encode()))
    answer = hub.post("/provider/register", json=offer)
    assert answer.status_code == 200, answer.text
    made = engine.execute("api", "lightyard", "keys", "create", "provider", "--wallet", address)
    assert made.returncode == 0, made.stderr
    return made.stdout


def here(engine: Engine, url: str) -> str:
    """A public address as this side of the proxy reaches it."""
    assert url.startswith(VARIABLES["PUBLIC_URL"]), url
    return url.replace("hub.internal", engine.address("api"))


def dispatched(hub: httpx.Client, body: dict[str, str]) -> Any:
    """The job, once a node has joined."""
    answer = hub.post("/api/v1/jobs/dispatch", json=body)
    assert answer.status_code in (200, 400), answer.text
    return answer.json() if answer.status_code == 200 else None


def ended(hub: httpx.Client, job_id: str) -> Any:
    job = hub.get(f"/api/v1/jobs/{job_id}").json()
    return job if job["status"] in ("COMPLETED", "FAILED") else None


def test_prometheus_reaches_everything_that_it_is_to_scrape(engine: Engine) -> None:
    def targets() -> Any:
        found = httpx.get(f"http://{engine.address('prometheus', 'watch')}:9090/api/v1/targets").json()["data"]["activeTargets"]
        return found if all(target["health"] == "up" for target in found) else None

    found = wait_for(targets)
    jobs = {target["labels"]["job"] for target in found}
    assert jobs == {"lightyard", "node", "postgres", "redis", "rabbitmq", "prometheus", "alertmanager"}
    for family in ("lightyard_nodes", "node_load1", "pg_up", "redis_up", "rabbitmq_queue_messages", "alertmanager_alerts",
                   "lightyard_backup_last_success_timestamp_seconds"):
        query = {"query": f"sum({family})"}
        answer = wait_for(lambda query=query: httpx.get(  # type: ignore[misc]
            f"http://{engine.address('prometheus', 'watch')}:9090/api/v1/query", params=query).json()["data"]["result"])
        if family in ("pg_up", "redis_up"):
            assert answer[0]["value"][1] == "1", f"{family}: the exporter is not let in"


@pytest.fixture(scope="module")
def dump(engine: Engine) -> str:
    """A backup of the stack after its first job."""
    taken = engine.execute("backup", "lightyard", "backups", "take", "/backups")
    assert taken.returncode == 0, taken.stderr
    return taken.stdout.strip()


def test_books_that_do_not_balance_are_told_to_whoever_is_paged(engine: Engine, chat: Chat, dump: str) -> None:
    """A superuser's hand in a balance: audit, Prometheus, Alertmanager, and the chat whose address only a file knows."""
    with database(engine) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE ledger_accounts SET balance_minor = balance_minor + 1 WHERE balance_minor > 0")
    asked = engine.execute("worker", "celery", "-A", "celery_app", "--quiet", "call", "hub.audit")
    assert asked.returncode == 0, asked.stderr
    alerts = f"http://{engine.address('alertmanager', 'watch')}:9093/api/v2/alerts"
    found = wait_for(lambda: [alert for alert in httpx.get(alerts).json()
                              if alert["labels"]["alertname"] == "LedgerDoesNotBalance"], 180)
    assert found[0]["receivers"] == [{"name": "page"}]
    path, message = wait_for(lambda: next((item for item in chat.told if "LedgerDoesNotBalance" in json.dumps(item)), None), 60)
    assert path == "/alerts_page_url" and "FIRING" in json.dumps(message)


def test_a_backup_is_brought_back_as_the_page_says_and_mends_the_books(engine: Engine, dump: str) -> None:
    """The very commands of docs/deploying.md, after a balance was changed by hand: the books balance, and nothing is missing."""
    with database(engine) as connection:
        before = counted(connection)
    assert before["entries"] > 0 and before["jobs"] > 0
    page = (composing.ROOT / "docs" / "deploying.md").read_text()
    [block] = [part for part in page.split("```") if "backups restore" in part]
    for line in block.strip().splitlines():
        carry_out(engine, shlex.split(line.replace("/backups/lightyard-….dump", dump)))
    assert engine.tail(engine.last_run).endswith("the books balance\n")
    with database(engine) as connection:
        assert counted(connection) == before
        with pytest.raises(psycopg.Error, match="append|never|changed"):
            connection.execute("UPDATE entries SET amount_minor = amount_minor + 1")
        connection.execute("SET ROLE lightyard_app")
        with pytest.raises(psycopg.Error, match="permission denied"):
            connection.execute("DELETE FROM entries")
    engine.start("api")
    engine.wait_healthy("api", 150)
    assert httpx.get(f"http://{engine.address('api')}:8000/stats").status_code == 200


def carry_out(engine: Engine, words: list[str]) -> None:
    """One line of the page: `docker compose stop|exec|run …`."""
    assert words[:2] == ["docker", "compose"], words
    what, rest = words[2], [word for word in words[3:] if word not in ("--rm", "--no-deps")]
    if what == "stop":
        for name in rest:
            assert engine.stop(name) in (0, 143), name
    elif what == "exec":
        done = engine.execute(*rest)
        assert done.returncode == 0, (words, done.stderr)
    else:
        assert what == "run" and engine.run(*rest) == 0, (words, engine.tail(engine.last_run))


def test_a_backup_goes_nowhere_but_into_an_empty_database(engine: Engine, dump: str) -> None:
    assert engine.run("backup", "lightyard", "backups", "restore", dump) == 1
    assert "is not empty" in engine.tail(engine.last_run)


def counted(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """The rows of the tables that only grow."""
    return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[index]
            for table in ("accounts", "transfers", "entries", "jobs", "nodes")}


def test_every_service_ends_when_it_is_told_to(engine: Engine) -> None:
    """SIGTERM is heard and there is time enough: nothing is killed."""
    for name in reversed([name for name in engine.containers if "-run-" not in name]):
        grace = str(engine.containers[name].service.get("stop_grace_period", "10s")).removesuffix("s")
        code = engine.stop(name, float(grace))
        assert code in (0, 143), f"{name} ended with {code}: {engine.tail(name)}"
