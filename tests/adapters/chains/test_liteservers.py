"""The real library of pytonlib, as far as it goes without a liteserver: it loads, it is silent in time, it ends.

What it says when a liteserver answers is not shown here, nor anywhere in the suite: there is none to run.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.adapters.chains.liteserver import Liteservers, read_config
from app.adapters.chains.ton_gateway import CheckedTonGateway
from app.errors import ChainUnavailable, ConfigError
from app.values.ton_address import TonAddress
from tests.factories.ton import go_without

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
for ask in (
    ton.now,
    lambda: ton.account(account),
    lambda: ton.transactions(account, 10),
    lambda: ton.run_get_method(account, "seqno"),
    lambda: ton.send(bytes.fromhex("b5ee9c72010101010002000000")),
):
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


@pytest.mark.parametrize("ending", ["close", "just end"])
def test_without_a_network_the_real_library_is_silent_in_time_and_lets_its_process_end(
    config: Path, tmp_path: Path, ending: str
) -> None:
    if importlib.util.find_spec("pytonlib") is None:
        go_without("pytonlib is not installed (`make liteservers`), so it was not loaded")
    command = [sys.executable, "-c", PROGRAM, str(config), str(tmp_path / "keys"), ending]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, env=os.environ | {"PYTHONPATH": "."})
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in lines[:5]] == ["unavailable"] * 5, done.stdout
    assert lines[5] == "loaded True"
    assert "before this process was forked" in lines[6]


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
