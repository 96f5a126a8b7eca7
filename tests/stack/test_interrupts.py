"""Ctrl-C at the worst moment: while a child is being forked, where Python swallows what a signal's handler raises."""

import json
import subprocess
import sys
from pathlib import Path

from tests.factories.stacks import ROOT

FORKED_UPON = """
import json, os, signal, sys, time
from pathlib import Path
from app.stack.supervisor import SERVERS, Role, Supervisor

is_first = True

def interrupt():
    global is_first
    if is_first:
        is_first = False
        os.kill(os.getpid(), signal.SIGINT)

os.register_at_fork(before=interrupt)
supervisor, told = Supervisor(Path(sys.argv[1])), False
try:
    supervisor.start(Role("cat", ["sh", "-c", "kill -INT $$; sleep 60"], dict(os.environ), SERVERS))
except KeyboardInterrupt:
    told = True
process = supervisor.roles[0].process
print(json.dumps({"told": told, "child": process.wait(30)}))
"""


def test_ctrl_c_while_a_child_is_forked_is_told_and_the_child_is_known_and_hears_it_too(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKED_UPON, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"told": True, "child": -2}
    assert "KeyboardInterrupt" not in done.stderr, "nothing was swallowed"
