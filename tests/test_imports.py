"""Imports stand at the top of files; the few that do not are in one list, and starting the hub does not load them."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from app.config import DEVELOPMENT_ANCHOR_KEY

ROOT = Path(__file__).parent.parent
LISTED = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["lightyard"]["imports-inside"]
SLOW = ("eth_account", "boto3", "botocore", "OpenEXR", "reportlab")


def inside(tree: ast.Module) -> Iterator[str]:
    """The packages that are imported inside functions."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield (node.module or "").split(".")[0]


def test_only_what_is_listed_is_imported_inside_a_function() -> None:
    found = {}
    for path in sorted(path for package in ("app", "workers") for path in (ROOT / package).rglob("*.py")):
        packages = sorted(set(inside(ast.parse(path.read_text()))))
        if packages:
            found[str(path.relative_to(ROOT))] = packages
    assert found == LISTED


def test_the_hub_starts_without_the_slow_ones() -> None:
    code = f"import sys, app.factory, workers.sweeps; print([name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_signing_leaves_the_process_as_careful_as_it_was() -> None:
    """JSON that is nested 100,000 deep is an error, and not the end of the process, after the chain's library was loaded too."""
    code = f"""
import json, sys
from app.adapters.chains.evm import EvmGateway
assert EvmGateway(("http://127.0.0.1:1",), 1, {DEVELOPMENT_ANCHOR_KEY!r}).sender.startswith("0xf39F")
assert "eth_account" in sys.modules and sys.getrecursionlimit() == 1000
try:
    json.loads("[" * 100_000)
except RecursionError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr
