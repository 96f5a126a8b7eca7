"""The SDK stands alone: it installs by itself, whole, and needs nothing of the marketplace's."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

SDK = Path(__file__).parent.parent.parent / "sdk"
PACKAGE = SDK / "robocompute"
DISTRIBUTIONS = {"click", "httpx", "nacl", "tqdm", "websockets"}  # pynacl's module is nacl


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield str(node.module).partition(".")[0]


def test_it_imports_its_own_dependencies_and_nothing_of_the_hubs() -> None:
    found = {name for path in PACKAGE.rglob("*.py") for name in imported(path)}
    assert found - set(sys.stdlib_module_names) == DISTRIBUTIONS | {"robocompute"}


def test_every_file_is_packed() -> None:
    project = tomllib.loads((SDK / "pyproject.toml").read_text())
    folders = {str(path.parent.relative_to(SDK)).replace("/", ".") for path in PACKAGE.rglob("*.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == folders and (PACKAGE / "py.typed").exists()
    names = {name.partition(">")[0].replace("pynacl", "nacl") for name in project["project"]["dependencies"]}
    assert names == DISTRIBUTIONS


def test_it_is_installed_as_one_package(tmp_path: Path) -> None:
    """By pip, from a copy; run where neither the hub nor the checkout is to be found."""
    copy = tmp_path / "sdk"
    subprocess.run(["cp", "-r", str(SDK), str(copy)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(copy)], check=True, capture_output=True, cwd=tmp_path)
    code = """
import importlib.metadata, pathlib, robocompute, robocompute.provider, robocompute.exceptions
from robocompute import RoboComputeClient, RoboComputeProvider
from robocompute.exceptions import (
    InsufficientFundsError, TaskNotFoundError, ProviderUnavailableError, AuthenticationError, RateLimitError
)
(command,) = importlib.metadata.distribution("robocompute").entry_points
assert command.name == "robocompute" and callable(command.load())
assert (pathlib.Path(robocompute.__file__).parent / "py.typed").exists()
assert importlib.metadata.version("robocompute") == robocompute.__version__
print(robocompute.__file__)
"""
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(str(tmp_path / "site")), done.stderr
