"""The local Solana as a process: `python -m devnet --help`."""

import argparse
import os
import sys
import threading
from pathlib import Path

from devnet import genesis
from devnet.chain import Chain
from devnet.http_server import HttpServer
from devnet.journal import JournalBroken
from devnet.rpc.dispatch import Dispatcher, http_methods
from devnet.signals import expect_signals
from devnet.slots import BLOCKHASH_BLOCKS
from devnet.websocket import WebSocketServer

PORT_TRIES = 20
POLL_SECONDS = 0.1  # how soon the HTTP server sees that it is to stop
EPILOG = """\
Solana's JSON-RPC on --port and its websocket on the next port, over a real SVM with the SPL token, associated-token and
memo programs, and the test mints USDC, USDT and RENDER. devnet/README.md says what is real and what is emulated.

examples:
  python -m devnet                                    a chain in memory, 400 ms a slot, gone when it ends
  python -m devnet --home .lightyard/devnet           a chain that outlives its process (kill -9 too)
  python -m devnet --slot-ms 25 --blockhash-blocks 2400
                                                      final after 0.8 s; block hashes good for 60 s, as on the mainnet
  python -m devnet --port 0 --slot-ms 0               a free pair of ports; slots move by `svm_advanceSlots` only

Once it takes requests it prints:  devnet ready http://HOST:PORT ws://HOST:PORT+1
"""


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m devnet",
        description="A local Solana for demo and tests.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8899, help="JSON-RPC; the websocket has the next port; 0: any two (default: %(default)s)")
    add("--ws-port", type=int, help="another port for the websocket (clients expect --port + 1)")
    add("--home", type=Path, help="folder of the journal, the mints' addresses and the test keys (default: kept in memory only)")
    add("--slot-ms", type=int, default=400, help="milliseconds a slot; 0: none passes by itself (default: %(default)s)")
    add("--blockhash-blocks", type=int, default=BLOCKHASH_BLOCKS, help="blocks a block hash is good for (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    for name, least, most in (("port", 0, 65534), ("slot_ms", 0, 3_600_000), ("blockhash_blocks", 1, 10**7)):
        if not least <= getattr(chosen, name) <= most:
            parser.error(f"--{name.replace('_', '-')} must be from {least} to {most}")
    return chosen


def open_doors(chain: Chain, host: str, port: int, ws_port: int | None) -> tuple[HttpServer, WebSocketServer, int]:
    """Both servers, listening; with port 0 the first free pair. Raises OSError when a port is taken."""
    for last_try in (*[False] * (PORT_TRIES - 1), True):
        http = HttpServer((host, port), Dispatcher(http_methods(chain)))
        second = ws_port or http.server_port + 1
        sockets = WebSocketServer(chain, host, second)
        try:
            sockets.start()
            return http, sockets, second
        except (OSError, OverflowError):
            http.server_close()
            if port or last_try:
                raise
    raise AssertionError("the last try returns or raises")


def main() -> int:
    chosen = read_options()
    try:
        chain = Chain(genesis.load(chosen.home), chosen.slot_ms, chosen.home, chosen.blockhash_blocks)
        http, sockets, second = open_doors(chain, chosen.host, chosen.port, chosen.ws_port)
    except JournalBroken as error:
        print(f"devnet: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"devnet: {error}; is another one running? Choose another --port (it needs the next one too)", file=sys.stderr)
        return 1
    told_to_end = expect_signals()
    server = threading.Thread(target=http.serve_forever, args=(POLL_SECONDS,), name="http")
    server.start()
    try:
        print(f"devnet ready http://{chosen.host}:{http.server_port} ws://{chosen.host}:{second}", flush=True)
        os.read(told_to_end, 1)
    finally:  # also when nobody is there to be told: the servers' threads would keep the process for ever
        http.shutdown()
        server.join()
        http.server_close()
        sockets.stop()
        chain.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
