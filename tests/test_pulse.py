"""Health checks by a file's age: who turns touches it, and who stopped is told."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import pulse

ROOT = Path(__file__).parent.parent


def check(folder: Path | str, name: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PULSE_FOLDER": str(folder)}
    command = [sys.executable, "-m", "app.pulse", name, "60"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_process_is_well_while_its_file_is_young(tmp_path: Path) -> None:
    never = check(tmp_path, "worker")
    assert never.returncode == 1 and "never" in never.stdout
    pulse.touch(str(tmp_path), "worker")
    assert check(tmp_path, "worker").returncode == 0
    assert check(tmp_path, "beat").returncode == 1, "each has its own"
    old = time.time() - 120
    os.utime(tmp_path / "worker.pulse", (old, old))
    late = check(tmp_path, "worker")
    assert late.returncode == 1 and "60 s are allowed" in late.stdout
    ahead = time.time() + 3600
    os.utime(tmp_path / "worker.pulse", (ahead, ahead))
    assert check(tmp_path, "worker").returncode == 1, "the clock was set back since it turned"


def test_without_a_folder_nothing_is_written_and_nobody_is_called_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pulse.touch("", "worker")
    assert list(tmp_path.iterdir()) == []
    assert check("", "worker").returncode == 1
