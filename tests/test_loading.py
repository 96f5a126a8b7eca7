"""A process that loads without looking for garbage looks for it afterwards."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENTRIES = ("wsgi", "celery_app", "app.cli", "app.signer.__main__", "tests.flows.paying_process")
IMPORTED = re.compile(r"^from app import .*\bloading\b", re.MULTILINE)
AWAY = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
TOLD = "import gc, importlib, sys; importlib.import_module(sys.argv[1]); print(gc.isenabled(), gc.get_freeze_count() > 1000)"


def test_every_entry_that_turns_the_collector_off_turns_it_on_again(tmp_path: Path) -> None:
    sources = [*ROOT.glob("*.py"), *(ROOT / "app").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    found = [path.relative_to(ROOT).with_suffix("") for path in sources if IMPORTED.search(path.read_text())]
    assert sorted(".".join(path.parts).removesuffix(".__init__") for path in found) == sorted(ENTRIES)
    environment = {**os.environ, **AWAY, "LIGHTYARD_HOME": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", TOLD, name], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for name in ENTRIES
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["True True"] * len(ENTRIES)
