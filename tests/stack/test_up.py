"""`lightyard up`: how it starts, refuses, stops, and gets over its own death."""

import json
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from app.config import load
from app.stack import leftovers
from app.stack.ports import free_port
from app.stack.postgres import Postgres
from app.stack.up import unanswered
from app.stack.valkey import Valkey
from devnet.evm import program
from devnet.ton import program as ton_program
from tests.factories.missing import go_without
from tests.factories.stacks import RunningStack, fresh_home, lightyard, wait_until


def test_it_says_where_everything_is_lets_no_second_one_in_and_ends_by_ctrl_c(home: Path) -> None:
    """SIGTERM ends every other stack of these tests."""
    stack = RunningStack(home).wait_ready()
    evm = set() if program.command(0, home) is None else {"evm"}
    ton = set() if ton_program.command(0, None, 0) is None else {"ton"}
    hub = {"api", "worker", "signer", "beat", "poller"}
    assert set(stack.processes) == {*hub, "devnet", "postgres", "valkey"} | evm | ton  # NODES=0
    assert_endpoints(stack)
    second = lightyard("up", home=home, PORT=str(stack.port), NODES="0")
    assert second.returncode == 1
    assert second.stderr.strip() == (
        f"lightyard: a stack is running in {home} already; stop it, or set LIGHTYARD_HOME to another folder"
    )
    assert stack.is_healthy() and stack.endpoints["api_url"]
    assert stack.end(signal.SIGINT) == 0


def assert_endpoints(stack: RunningStack) -> None:
    """endpoints.json is whole, private and true."""
    found = stack.endpoints
    path = stack.home / "endpoints.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert found["api_url"] == f"http://127.0.0.1:{stack.port}" and found["metrics_url"] == f"{found['api_url']}/metrics"
    assert found["solana_rpc_url"] == f"http://127.0.0.1:{stack.port + 899}"
    if ton_program.command(0, None, 0) is None:
        assert found["ton_api_url"] is None
    else:
        assert found["ton_api_url"] == f"http://127.0.0.1:{stack.port + 902}/api/v2"
        head = httpx.get(f"{found['ton_api_url']}/getMasterchainInfo").json()
        assert head["ok"] is True and head["result"]["last"]["seqno"] >= 1 and len(stack.processes["ton"]) == 1
    if program.command(0, stack.home) is None:
        assert found["evm_rpc_url"] is None
    else:
        chain = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
        assert "result" in httpx.post(found["evm_rpc_url"], json=chain).json() and len(stack.processes["evm"]) == 1
    ask = {"jsonrpc": "2.0", "id": 1, "method": "getBalance", "params": [found["hub_wallet"]]}
    assert "result" in httpx.post(found["solana_rpc_url"], json=ask).json(), "hub_wallet is an address"
    assert found["mints"].keys() == {"USDC", "USDT", "RENDER"}
    assert found["operator_api_key"].startswith("ly_")
    assert httpx.get(found["metrics_url"]).status_code == 200


def test_a_signal_while_it_starts_stops_everything(home: Path) -> None:
    for role in ("postgres", "api"):
        stack = RunningStack(home)
        wait_until(lambda: (home / "processes.json").exists() and role in stack.processes, f"{role} to be started")  # noqa: B023
        assert stack.end(signal.SIGINT) == 0
    again = RunningStack(home).wait_ready()  # what was half made is no obstacle
    assert again.end() == 0


@pytest.mark.parametrize(
    "offset, name",
    [
        (0, "PORT"),
        (899, "PORT + 899, for the local chain"),
        (900, "PORT + 900, for the local chain's websocket"),
        (902, "PORT + 902, for the local TON"),
    ],
)
def test_a_taken_port_is_named(home: Path, offset: int, name: str) -> None:
    if offset == 902 and ton_program.command(0, None, 0) is None:
        go_without("the local TON is not installed (`make ton-chain`), so its port was not taken")
    port = free_port(899, 900, 902)
    with socket.create_server(("127.0.0.1", port + offset)):
        refused = lightyard("up", home=home, PORT=str(port), NODES="0")
    assert refused.returncode == 1
    assert f"port {port + offset} ({name}) is taken" in refused.stderr and "set PORT to another" in refused.stderr
    assert leftovers.of_home(home) == []


def test_a_broker_and_a_valkey_that_do_not_answer_are_named_without_their_secrets(home: Path, valkey: Valkey) -> None:
    """The API is up without them: without a word, whoever set a wrong address would wait for ever."""
    set_wrong = {"BROKER_URL": f"amqp://guest:hidden@127.0.0.1:{free_port()}//", "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    said = list(unanswered(load({"LIGHTYARD_HOME": str(home), **set_wrong})))
    assert [line.partition(" ")[0] for line in said] == ["valkey", "broker"]
    for line, name in zip(said, ("REDIS_URL", "BROKER_URL"), strict=True):
        assert "refused" in line and f"or mend {name}" in line and "orders wait" in line and "hidden" not in line
    assert not list(unanswered(load({"LIGHTYARD_HOME": str(home), "BROKER_URL": valkey.url, "REDIS_URL": valkey.url})))
    assert not list(unanswered(load({"LIGHTYARD_HOME": str(home)})))  # both are embedded


def test_production_is_refused_by_name(home: Path) -> None:
    refused = lightyard("up", home=home, LIGHTYARD_ENV="production")
    assert refused.returncode == 1 and "ALLOW_PRIVATE_ENDPOINTS" in refused.stderr and "Traceback" not in refused.stderr
    assert not home.exists()


def test_a_home_that_cannot_be_written_is_refused() -> None:
    refused = lightyard("up", home=Path("/proc/nowhere"))
    assert refused.returncode == 1 and "choose a folder that can be written" in refused.stderr


def test_two_stacks_run_side_by_side(home: Path) -> None:
    with fresh_home() as other_home:
        one, two = RunningStack(home), RunningStack(other_home)
        for stack in (one, two):
            stack.wait_ready()
        assert one.endpoints["operator_api_key"] != two.endpoints["operator_api_key"]
        assert one.end() == 0
        assert two.is_healthy()
        assert two.end() == 0


def test_the_next_one_gets_over_a_killed_supervisor(home: Path) -> None:
    first = RunningStack(home).wait_ready()
    before, children = first.endpoints, first.children()
    first.process.kill()
    first.process.wait()
    assert first.process.stdout is not None
    first.process.stdout.close()
    second = RunningStack(home, port=first.port).wait_ready()
    assert second.endpoints["operator_api_key"] == before["operator_api_key"], "the database was kept"
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert second.end() == 0


def test_orphans_of_a_killed_supervisor_are_taken_down(home: Path) -> None:
    """Children that outlived their supervisor all the same: a PostgreSQL over the data, and one that carries the home's mark."""
    home.mkdir(parents=True)
    server = Postgres(home / "postgres")
    server.start()
    marked = {**os.environ, leftovers.MARK: str(home)}
    orphan = subprocess.Popen(["cat"], env=marked, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert orphan.stdin is not None and orphan.stdout is not None
    orphan.stdin.write(b"\n")
    orphan.stdin.flush()
    orphan.stdout.readline()  # it runs: until then /proc shows no environment yet
    assert server.process is not None and set(leftovers.of_home(home)) >= {server.process.pid, orphan.pid}
    stack = RunningStack(home).wait_ready()
    assert (server.process.wait(1), orphan.wait(1)) == (-signal.SIGKILL, -signal.SIGKILL)
    orphan.stdin.close()
    orphan.stdout.close()
    assert stack.end() == 0


def test_a_stale_pid_file_of_another_program_is_no_obstacle(home: Path) -> None:
    home.mkdir(parents=True)
    server = Postgres(home / "postgres")
    server.prepare()
    stale = home / "postgres" / "data" / "postmaster.pid"
    stale.write_text(f"{os.getppid()}\n{stale.parent}\n0\n1\n\n\n\n\n")  # as after a reboot: the number is somebody else's
    (home / "processes.json").write_text(json.dumps({"postgres": [os.getppid()]}))
    stack = RunningStack(home).wait_ready()
    assert psutil.pid_exists(os.getppid())
    assert stack.end() == 0
