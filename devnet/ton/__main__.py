"""The local TON as a process: `python -m devnet.ton --help`, in the environment that `make ton-chain` makes."""

import argparse
import os
import sys
import threading
from pathlib import Path

from devnet.journal import JournalBroken
from devnet.signals import expect_signals
from devnet.ton.chain import Chain
from devnet.ton.http_server import HttpServer

POLL_SECONDS = 0.1  # how soon the HTTP server sees that it is to stop
EPILOG = """\
toncenter's API v2 on --port, over TON's own transaction executor and virtual machine. devnet/README.md says what is real and
what is emulated.

examples:
  python -m devnet.ton                                a chain in memory, a block every 2.5 seconds, gone when it ends
  python -m devnet.ton --home .lightyard/ton          a chain that outlives its process (kill -9 too)
  python -m devnet.ton --port 0 --block-ms 0          a free port; blocks come by POST /dev/advance only

Once it takes requests it prints:  ton ready http://HOST:PORT/api/v2
"""


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m devnet.ton",
        description="A local TON for demo and tests.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8902, help="HTTP; 0: any (default: %(default)s)")
    add("--home", type=Path, help="folder of the journal (default: kept in memory only)")
    add("--block-ms", type=int, default=2500, help="milliseconds a block; 0: none passes by itself (default: %(default)s)")
    add("--delivery-blocks", type=int, default=1, help="blocks until a message between contracts arrives (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    for name, least, most in (("port", 0, 65535), ("block_ms", 0, 3_600_000), ("delivery_blocks", 1, 10**6)):
        if not least <= getattr(chosen, name) <= most:
            parser.error(f"--{name.replace('_', '-')} must be from {least} to {most}")
    return chosen


def main() -> int:
    chosen = read_options()
    try:
        chain = Chain(chosen.home, chosen.block_ms, chosen.delivery_blocks)
        http = HttpServer((chosen.host, chosen.port), chain)
    except JournalBroken as error:
        print(f"devnet.ton: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"devnet.ton: {error}; is another one running? Choose another --port", file=sys.stderr)
        return 1
    told_to_end = expect_signals()
    server = threading.Thread(target=http.serve_forever, args=(POLL_SECONDS,), name="http")
    server.start()
    try:
        print(f"ton ready http://{chosen.host}:{http.server_port}/api/v2", flush=True)
        os.read(told_to_end, 1)
    finally:  # also when nobody is there to be told: the server's thread would keep the process for ever
        http.ended.set()
        http.shutdown()
        server.join()
        http.server_close()
        chain.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
