"""Secrets as files: made once, kept, and read by the stack and its children without contradiction."""

from pathlib import Path

import pytest

from app.config import load
from app.errors import ConfigError
from app.stack import secret_files
from app.stack.stack import HUB_SECRETS, Stack


def test_every_shape_of_a_secret_is_the_same_secret(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = secret_files.make(folder)
    assert "secret_key" in made and len((folder / "secret_key").read_text().strip()) == 64
    password = (folder / "postgres_password").read_text().strip()
    assert f":{password}@postgres:5432/" in (folder / "database_url").read_text()
    (folder / "database_url").unlink()
    assert secret_files.make(folder) == ["database_url"], "from the password that is there"
    assert f":{password}@" in (folder / "database_url").read_text()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"):
        secret_files.make(tmp_path / "file" / "secrets")


def test_what_the_stack_reads_from_files_its_children_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"SECRET_KEY": "k" * 40, "METRICS_TOKEN": "told", "EVM_ANCHOR_KEY": "0x" + "1" * 64, "DATABASE_URL": "postgresql://db/x"}
    for name, value in given.items():
        (tmp_path / name).write_text(f"{value}\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIGHTYARD_HOME", str(tmp_path / "home"))
    stack = Stack(load())
    try:
        read = load(stack.environment)
        assert {name: getattr(read, name.lower()) for name in given} == given
        nodes = {name for name in stack.environment if name not in HUB_SECRETS}
        assert not {name for name in nodes if name.removesuffix("_FILE") in given}, "a node is told none of them"
    finally:
        stack.home_lock.close()
