"""How `lightyard mcp` is started, and what it says where it can't be. What its server does: tests/mcp and tests/e2e."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from app.cli.mcp import Size
from tests.cli.command_tree import Entry


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Entry:
    monkeypatch.delenv("LIGHTYARD_API_KEY", raising=False)
    return Entry(monkeypatch, capsys)


def start(entry: Entry, folder: Path, *options: str, **settings: str) -> tuple[int, str]:
    code, out, err = entry("mcp", "--downloads", str(folder / "pictures"), *options, **settings)
    assert out == "" and "Traceback" not in err
    return code, err


def test_the_key_comes_from_the_environment_or_a_file(entry: Entry, tmp_path: Path) -> None:
    keyfile = tmp_path / "key"
    for told, said in ((None, "LIGHTYARD_API_KEY is not set"), ("", "is empty"), ("a key\nof two lines", "is no API key")):
        options = [] if told is None else ["--keyfile", str(keyfile)]
        keyfile.write_text(told or "")
        code, err = start(entry, tmp_path, *options)
        assert code == 1 and said in err and len(err.splitlines()) == 1, err
    code, err = start(entry, tmp_path, "--keyfile", str(tmp_path / "none"))
    assert code == 1 and "No such file" in err
    code, _, err = entry("mcp", "--downloads", str(tmp_path), "--api-key", "ly_x")
    assert code == 2 and "No such option" in err


def test_caps_and_addresses_that_cannot_be_are_refused(entry: Entry, tmp_path: Path) -> None:
    key = {"LIGHTYARD_API_KEY": "ly_x"}
    for options, status, said in (
        (("--max-spend", "0"), 2, "must be more than 0"),
        (("--max-spend-per-job", "-1"), 2, "must be more than 0"),
        (("--max-spend", "much"), 1, "'much' is not an amount"),
        (("--asset", "SOL"), 2, "how many SOL"),
        (("--asset", "EUR"), 2, "RCREDIT"),
        (("--url", "hub.example"), 1, "is no hub's address"),
        (("--max-download", "0"), 2, "is no size"),
        (("--max-download", "1.5 bananas"), 2, "500MiB"),
    ):
        code, err = start(entry, tmp_path, *options, **key)
        assert code == status and said in err, (options, err)
    assert entry("mcp")[0] == 2
    sizes = [Size().convert(text, None, None) for text in ("100", "500MiB", "20 GiB", "1T")]
    assert sizes == [100, 500 * 2**20, 20 * 2**30, 2**40]


def test_without_its_sdk_it_says_what_installs_it(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] in ("mcp", "mcp_types"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.delitem(__import__("sys").modules, "app.mcp.server", raising=False)
    monkeypatch.delattr("app.mcp.server", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    code, err = start(entry, tmp_path, LIGHTYARD_API_KEY="ly_x")
    assert code == 1 and "make mcp" in err and len(err.splitlines()) == 1
