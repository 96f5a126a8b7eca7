"""`lightyard demo`, as `make demo` runs it."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from app.stack import leftovers
from tests.factories.stacks import COMMAND, ROOT


def start_demo(home: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "LIGHTYARD_HOME": str(home), "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    return subprocess.Popen(
        [*COMMAND, "demo"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it printed up to the line that has `text`."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} was never printed:\n{seen}")


@pytest.mark.timeout(600)
def test_the_demo_pays_for_a_picture_and_leaves_nothing_running(home: Path) -> None:
    process = start_demo(home)
    printed = read_until(process, "stopped everything")
    assert process.wait(30) == 0
    assert process.stdout is not None
    process.stdout.close()
    assert "HTTP 402" in printed and '"error": "Payment Required"' in printed
    price = re.search(r"^price +([0-9.]+) SOL$", printed, re.M)
    assert price and f'"price": {price[1]},' in printed
    assert re.search(r"^transaction +[1-9A-HJ-NP-Za-km-z]{80,90}$", printed, re.M)
    picture = re.search(r"^picture +(\S+\.png)  \(640x360 PNG", printed, re.M)
    assert picture is not None, printed
    with Image.open(picture[1]) as image:
        assert image.size == (640, 360)
        colours = image.convert("RGB").resize((64, 36)).getcolors(64 * 36)
    assert colours is not None and len(colours) > 200, "the picture shows something"
    assert leftovers.of_home(home.with_name("home-demo")) == []


@pytest.mark.parametrize("moment", ["starting PostgreSQL", "POST /render/pay"])
def test_ctrl_c_stops_everything(home: Path, moment: str) -> None:
    process = start_demo(home)
    read_until(process, moment)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest and "interrupted" in rest
    assert leftovers.of_home(home.with_name("home-demo")) == []
