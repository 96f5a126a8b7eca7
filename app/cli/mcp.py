"""mcp: a hub's renders as tools of the Model Context Protocol, for agents."""

import os
import re
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from app.cli.printing import examples
from app.core.estimates import PAID_WITH
from app.errors import ConfigError
from app.mcp.downloads import Downloads
from app.mcp.hub import Hub
from app.mcp.purse import Purse
from app.mcp.scenes import Scenes
from app.mcp.session import Session
from app.mcp.tally import Tally
from app.values.money import Money, parse

CREDITS, USUAL_CAP = "RCREDIT", "10"
KEY = "LIGHTYARD_API_KEY"
OWN_HOSTS = ("localhost", "127.0.0.1", "::1")
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
SDK = ("mcp", "mcp_types", "pydantic")
SDK_MISSING = "the SDK of the Model Context Protocol is not installed: run `make mcp`, or `pip install -r requirements-mcp.lock`"


class Size(click.ParamType):
    """Bytes, or a number of KiB, MiB, GiB or TiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,15}) ?(?:([KMGT])(?:iB)?)?", value)
        if found is None or int(found[1]) == 0:
            self.fail(f"{value!r} is no size: give bytes, such as 500000000, or 500MiB, 20GiB, 1TiB", param, ctx)
        return int(found[1]) * UNITS[found[2] or ""]


@click.command(
    epilog=examples(
        "mcp --url https://hub.example --keyfile ~/.lightyard.key --downloads ~/renders --max-spend 5",
        "mcp --downloads renders --scenes ~/scenes --max-spend 2 --max-spend-per-job 0.5 --asset USDC",
        "mcp --downloads renders --dry-run",
        note=f"The API key comes from {KEY} or --keyfile, never from the command line; it needs scenes and jobs (read and "
        "write) and credits:read, and credits:write to top up. An agent's program starts this command itself: docs/mcp.md.",
    )
)
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, envvar="LIGHTYARD_URL", help="The hub.")
@click.option("--keyfile", type=click.Path(path_type=Path, dir_okay=False), help=f"A file with the API key, instead of {KEY}.")
@click.option("--downloads", required=True, type=click.Path(path_type=Path, file_okay=False), help="The folder for pictures.")
@click.option("--max-download", type=Size(), default="20GiB", show_default=True,
              help="What the session may save there in all: bytes, or such as 500MiB, 20GiB.")
@click.option("--scenes", multiple=True, type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Send scenes from this folder and nothing else (may be given more than once). Else any file that is a scene.")
@click.option("--asset", type=click.Choice(PAID_WITH), default=CREDITS, show_default=True, help="What is spent.")
@click.option("--max-spend", help=f"What the session may spend, from its start to its end. Else {USUAL_CAP} {CREDITS}.")
@click.option("--max-spend-per-job", help="What one job may cost. Else as much as the session.")
@click.option("--tally", type=click.Path(path_type=Path, dir_okay=False),
              help="Keep count in this file: sessions that are started anew go on counting, and --max-spend is for all of them.")
@click.option("--dry-run", is_flag=True, help="Estimate, and say what would be ordered; order and change nothing.")
def mcp(
    url: str, keyfile: Path | None, downloads: Path, max_download: int, scenes: tuple[Path, ...], asset: str,
    max_spend: str | None, max_spend_per_job: str | None, tally: Path | None, dry_run: bool,
) -> None:  # fmt: skip
    """Serve an agent over standard input and output (MCP): inspect, estimate, render, wait, download and more, on a hub."""
    if max_spend is None and asset != CREDITS:
        raise click.UsageError(f"say by --max-spend how many {asset} may be spent")
    session_cap = _cap("--max-spend", max_spend or USUAL_CAP, asset)
    job_cap = _cap("--max-spend-per-job", max_spend_per_job or str(session_cap), asset)
    try:
        from app.mcp import server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in SDK:
            raise
        raise ConfigError(SDK_MISSING) from error
    hub = Hub(url, _key(keyfile))
    if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in OWN_HOSTS:
        click.echo(f"lightyard mcp: the API key travels to {url} in the open: use https", err=True)
    purse = Purse(session_cap, min(job_cap, session_cap), None if tally is None else Tally(tally.expanduser(), asset))
    session = Session(hub, Scenes(hub, scenes), purse, Downloads(hub, downloads, max_download), dry_run)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # else it is heeded only once standard input says something
    try:
        server.make(session).run("stdio")  # until standard input ends
    except* BrokenPipeError:
        click.echo("lightyard mcp: nobody reads its answers any more", err=True)
    os._exit(0)  # what still waits for the hub has nobody to answer, and Python would wait for its thread


def _cap(option: str, text: str, asset: str) -> Money:
    cap = parse(text, asset)
    if cap.minor <= 0:
        raise click.UsageError(f"{option} must be more than 0; --dry-run spends nothing")
    return cap


def _key(keyfile: Path | None) -> str:
    key = (keyfile.expanduser().read_text() if keyfile else os.environ.get(KEY, "")).strip()
    if not key:
        where = f"{keyfile} is empty" if keyfile else f"{KEY} is not set"
        raise ConfigError(f"{where}: put an API key there (POST /rnp/v1/keys makes one), or name a file of it by --keyfile")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"what {keyfile or KEY} holds is no API key: one line such as ly_…")
    return key


COMMANDS = (mcp,)
