"""The real library of pytonlib, as far as it goes without a liteserver: it loads, it is silent in time, it ends.

What it says when a liteserver answers is not shown here, nor anywhere in the suite: there is none to run.
"""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.adapters.chains.liteserver import Liteservers, read_config
from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.errors import ChainUnavailable, ConfigError
from app.values.ton_address import TonAddress
from tests.factories.missing import go_without

ROOT = Path(__file__).parents[3]
KEY = {"@type": "pub.ed25519", "key": "n4VDnSCUuSpjnCyUk9e3QOOd6o0ItSWYbTnW3Wnn8wk="}
ZERO = {"workchain": -1, "shard": -(2**63), "seqno": 0, "root_hash": "A" * 43 + "=", "file_hash": "A" * 43 + "="}
NOBODY = {"ip": 2130706433, "port": 1, "id": KEY}  # 127.0.0.1:1
CONFIG = {
    "@type": "config.global",
    "liteservers": [NOBODY, NOBODY | {"port": 2}],
    "validator": {"@type": "validator.config.global", "zero_state": ZERO, "init_block": ZERO, "hardforks": []},
}

# A process of its own, for the library has threads, and ends as the worker ends: by the interpreter's end.
PROGRAM = """
import os, sys, time
from pathlib import Path
from app.adapters.chains.liteserver import Liteservers
from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.errors import ChainUnavailable, ChainUnreadable
from app.values.ton_address import TonAddress

servers = Liteservers(Path(sys.argv[1]), Path(sys.argv[2]), 2)
assert "pytonlib" not in sys.modules
ton, account = CheckedTonGateway(servers), TonAddress(0, bytes(32))
questions = (
    ton.now,
    lambda: ton.account(account),
    lambda: ton.transactions(account, 10),
    lambda: ton.run_get_method(account, "seqno"),
    lambda: ton.send(bytes.fromhex("b5ee9c72010101010002000000")),
)
for ask in questions[:int(sys.argv[4])]:
    begun = time.monotonic()
    try:
        print("answered", ask())
    except ChainUnavailable as error:
        kind = "unreadable" if isinstance(error, ChainUnreadable) else "unavailable"
        print(kind if time.monotonic() - begun < 60 else "late", error.message[:100])
print("loaded", any("libtonlibjson" in line for line in open("/proc/self/maps")))
if sys.argv[3] == "close":
    servers.close()
child = os.fork()
if child == 0:
    try:
        ton.now()
    except ChainUnavailable as error:
        os.write(1, f"{error.message}\\n".encode())
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "global.config.json"
    path.write_text(json.dumps(CONFIG))
    return path


def asked(config: Path, tmp_path: Path, ending: str, questions: int) -> list[str]:
    """What a process of the library's own printed; it must have ended by itself, and well."""
    if importlib.util.find_spec("pytonlib") is None:
        go_without("pytonlib is not installed (`make liteservers`), so it was not loaded")
    command = [sys.executable, "-c", PROGRAM, str(config), str(tmp_path / "keys"), ending, str(questions)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, env=os.environ | {"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("ending", ["close", "just end"])
def test_without_a_network_the_real_library_is_silent_in_time_and_lets_its_process_end(
    config: Path, tmp_path: Path, ending: str
) -> None:
    lines = asked(config, tmp_path, ending, questions=5)
    assert [line.split()[0] for line in lines[:5]] == ["unavailable"] * 5, lines
    assert lines[5] == "loaded True"
    assert "before this process was forked" in lines[6]


def test_a_liteserver_that_takes_the_connection_and_says_nothing_is_left_in_time(config: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = NOBODY | {"port": silent.getsockname()[1]}
        config.write_text(json.dumps(CONFIG | {"liteservers": [mute, mute]}))
        lines = asked(config, tmp_path, "close", questions=2)
    assert [line.split()[0] for line in lines[:2]] == ["unavailable"] * 2, lines


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"liteservers": []}', '{"liteservers": [1]}', "[" * 9999])
def test_a_configuration_that_is_none_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="TON_CONFIG"):
        read_config(path)
    with pytest.raises(ConfigError, match="TON_CONFIG"):
        read_config(tmp_path / "missing.json")


def test_a_cooperative_process_does_not_load_it(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Patched:
        @staticmethod
        def is_module_patched(name: str) -> bool:
            return name == "threading"

    monkeypatch.setitem(sys.modules, "gevent.monkey", Patched)
    ton = CheckedTonGateway(Liteservers(config, tmp_path / "keys", 2))
    with pytest.raises(ChainUnavailable, match="by the worker only"):
        ton.account(TonAddress(0, bytes(32)))
