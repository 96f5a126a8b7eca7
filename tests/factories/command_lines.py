"""Runs of `lightyard`, each in a process of its own that is forked from one which has imported it already: to import the command
line takes a hundred times longer than most commands do."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SECONDS = 120
_context: ForkServerContext | None = None


def run(*arguments: str, environment: Mapping[str, str], given: str = "") -> subprocess.CompletedProcess[str]:
    """One command to its end: what it printed, and its exit status. `given` is its standard input."""
    with tempfile.TemporaryDirectory(prefix="lightyard-command-") as folder:
        paths = {name: os.path.join(folder, name) for name in ("in", "out", "err")}
        Path(paths["in"]).write_text(given)
        process = _server().Process(target=_be, args=(arguments, dict(environment), paths))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["lightyard", *arguments], SECONDS)
        out, err = (Path(paths[name]).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(["lightyard", *arguments], process.exitcode, out, err)


def _server() -> ForkServerContext:
    global _context
    if _context is None:
        _context = multiprocessing.get_context("forkserver")
        _context.set_forkserver_preload(["app.cli"])
    return _context


def _be(arguments: tuple[str, ...], environment: dict[str, str], paths: dict[str, str]) -> None:
    """In the forked process: become the command."""
    for number, (name, flags) in enumerate((("in", os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY))):
        os.dup2(os.open(paths[name], flags | (os.O_CREAT if number else 0), 0o600), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  for as long as the process lives
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = ["lightyard", *arguments]
    from app.cli import main

    main()
