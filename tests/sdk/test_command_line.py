"""`robocompute`: every command against a real HTTP server, as a person types it."""

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from solders.keypair import Keypair
from tqdm import tqdm

from robocompute import Document
from robocompute.cli import cli, main, progress
from robocompute.subscriptions import Subscription
from tests.sdk.conftest import API_KEY
from tests.sdk.scripted import Answer, Script, refusal
from tests.sdk.sockets import Board, board

TASK = {"task_id": "t1", "name": "train", "status": "pending", "progress": 0, "cost": None, "tags": {"a": [1]}}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    script: Script, wallet: Keypair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The command with these words: (exit status, stdout, stderr)."""
    (tmp_path / "id.json").write_text(wallet.to_json())
    settings = {"API_KEY": API_KEY, "KEYPAIR": str(tmp_path / "id.json"), "BASE_URL": script.url, "PROVIDER_ID": "p"}
    for name, value in settings.items():
        monkeypatch.setenv(f"ROBOCOMPUTE_{name}", value)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["robocompute", *words])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return (code, *capsys.readouterr())

    return run


# (words, method, path below /api/v1, part of the body)
COMMANDS: list[tuple[str, str, str, dict | None]] = [
    ("tasks run --image i --max-price 1.00 --env A=b=c --gpu-memory 8 -- python x.py -v", "POST", "/tasks",
     {"command": ["python", "x.py", "-v"], "environment": {"A": "b=c"}, "type": "gpu", "max_price_per_hour": "1.00", "name": "i",
      "resource_requirements": {"cpu_cores": 1, "ram_gb": 1, "storage_gb": 1, "gpu_memory_gb": 8}}),
    ("tasks list --status running --limit 5", "GET", "/tasks?status=running&limit=5&offset=0", None),
    ("tasks show t1", "GET", "/tasks/t1", None),
    ("tasks update t1 --max-price 2.50 --priority high", "PATCH", "/tasks/t1",
     {"max_price_per_hour": "2.50", "priority": "high"}),
    ("tasks cancel t1", "DELETE", "/tasks/t1", None),
    ("tasks logs t1 --lines 7", "GET", "/tasks/t1/logs?lines=7", None),
    ("tasks metrics t1", "GET", "/tasks/t1/metrics", None),
    ("disputes open t1 --grounds rerun --reason differs --rerun t2", "POST", "/tasks/t1/dispute",
     {"grounds": "rerun", "reason": "differs", "rerun_task_id": "t2"}),
    ("disputes show t1", "GET", "/tasks/t1/dispute", None),
    ("disputes list --status open", "GET", "/tasks/disputes?status=open&limit=50&offset=0", None),
    ("disputes against", "GET", "/providers/p/disputes?limit=50&offset=0", None),
    ("disputes answer d1 sorry", "POST", "/providers/p/disputes/d1/answer", {"answer": "sorry"}),
    ("wallet balance", "GET", "/wallet/balance", None),
    ("wallet deposit 10.00 --currency USDT", "POST", "/wallet/deposit", {"amount": "10.00", "currency": "USDT"}),
    ("wallet deposits", "GET", "/wallet/deposits", None),
    ("billing history --from 2025-01-01 --to 2025-01-31", "GET",
     "/billing/history?start_date=2025-01-01&end_date=2025-01-31", None),
    ("billing invoice i1", "GET", "/billing/invoices/i1", None),
    ("providers search --gpu-memory 8 --max-price 15", "GET", "/providers/search?gpu_memory_min=8.0&max_price=15", None),
    ("providers show p9", "GET", "/providers/p9", None),
    ("provider status", "GET", "/providers/p/status", None),
    ("provider metrics --period 24h", "GET", "/providers/p/metrics?period=24h", None),
    ("provider available", "GET", "/providers/p/tasks/available", None),
    ("resources add gpu --price 8.00 --spec memory_gb=24 --spec model=RTX", "POST", "/providers/p/resources",
     {"resource_type": "gpu", "specifications": {"memory_gb": 24, "model": "RTX"}, "pricing": {"per_hour": "8.00"}}),
    ("resources list --type gpu", "GET", "/providers/p/resources?type=gpu", None),
    ("resources update r1 --price 9.00", "PATCH", "/providers/p/resources/r1", {"pricing": {"per_hour": "9.00"}}),
    ("resources remove r1", "DELETE", "/providers/p/resources/r1", None),
    ("earnings --from 2025-01-01", "GET", "/providers/p/earnings?start_date=2025-01-01", None),
    ("payouts request 5.00 --to W", "POST", "/providers/p/payouts/request",
     {"amount": "5.00", "currency": "USDC", "wallet_address": "W"}),
    ("payouts history", "GET", "/providers/p/payouts/history?limit=50", None),
    ("payouts pending", "GET", "/providers/p/payouts/pending", None),
    ("staking status", "GET", "/providers/p/staking", None),
    ("staking stake 3.00", "POST", "/providers/p/staking/stake", {"amount": "3.00", "currency": "USDC"}),
    ("staking unstake 2.00", "POST", "/providers/p/staking/unstake", {"amount": "2.00", "currency": "USDC"}),
]
WITH_MORE = {"tasks watch", "tasks results"}  # tested below


@pytest.mark.parametrize(("words", "method", "path", "body"), COMMANDS, ids=[row[0].split(" -")[0] for row in COMMANDS])
def test_each_command_asks_for_what_it_says(
    run: Run, script: Script, words: str, method: str, path: str, body: dict | None
) -> None:
    script.answers = [Answer({**TASK, "logs": []})]
    code, _, said = run(*words.split())
    assert (code, said) == (0, "")
    (asked,) = script.asked
    assert (asked.method, asked.path) == (method, f"/api/v1{path}") and "X-Wallet-Signature" in asked.headers
    assert body is None or asked.json.items() >= body.items()


def test_no_command_is_left_out() -> None:
    def leaves(group: click.Group, words: str = "") -> Iterator[str]:
        for name, command in group.commands.items():
            yield from leaves(command, f"{words}{name} ") if isinstance(command, click.Group) else [f"{words}{name}"]

    tried = [name for name in leaves(cli) if any(words.startswith(name) for words, *_ in COMMANDS) or name in WITH_MORE]
    assert sorted(tried) == sorted(leaves(cli))


def test_answers_are_for_people_or_for_programs(run: Run, script: Script) -> None:
    script.answers = [Answer({"tasks": [TASK, TASK | {"task_id": "t22", "name": "a\x1b[2Jb\u202ec\n"}], "total": 2})]
    _, table, _ = run("tasks", "list")
    assert table.splitlines() == [
        "task_id  name       status   progress  cost",
        "t1       train      pending  0         -",
        "t22      a�[2Jb�c   pending  0         -",
    ]
    assert json.loads(run("--json", "tasks", "list")[1])["total"] == 2
    script.answers = [Answer({"tasks": []})]
    assert run("tasks", "list")[1] == "no tasks\n"
    script.answers = [Answer(TASK)]
    assert 'tags      {"a": [1]}' in run("tasks", "show", "t1")[1]


@pytest.mark.parametrize(("answer", "text"), [
    (refusal("INSUFFICIENT_FUNDS", 402), "Error: INSUFFICIENT_FUNDS it is (INSUFFICIENT_FUNDS)\n"),
    (Answer(b"<html>", 404), "Error: HTTP 404; is base_url right (it ends in /api/v1)? <html> (HTTP_404)\n"),
])
def test_errors_are_one_line(run: Run, script: Script, answer: Answer, text: str) -> None:
    script.answers = [answer]
    assert run("wallet", "balance") == (1, "", text)


def test_what_is_missing_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is no NAME=VALUE" in run("tasks", "run", "--image", "i", "--max-price", "1", "--env", "A", "true")[2]
    monkeypatch.setenv("ROBOCOMPUTE_KEYPAIR", "/nowhere/id.json")
    code, _, said = run("wallet", "balance")
    assert code == 1 and "/nowhere/id.json" in said
    for name, words in (("PROVIDER_ID", ("earnings",)), ("API_KEY", ("wallet", "balance"))):
        monkeypatch.delenv(f"ROBOCOMPUTE_{name}")
        code, _, said = run(*words)
        assert code == 2 and f"ROBOCOMPUTE_{name}" in said


def test_results_are_fetched(run: Run, script: Script, tmp_path: Path) -> None:
    data = b"results" * 1000
    sha256 = hashlib.sha256(data).hexdigest()
    script.answers = [Answer({"result_url": script.url + "/file", "result_hash": sha256}), Answer(data)]
    code, told, said = run("tasks", "results", "t1")
    assert code == 0 and sha256 in told and said == "", "no bar where nobody looks"
    assert (tmp_path / "t1.tar.gz").read_bytes() == data
    script.answers = [Answer(b"%PDF-1.7")]
    assert run("billing", "invoice", "i1", "--pdf", "i.pdf")[0] == 0 and (tmp_path / "i.pdf").read_bytes() == b"%PDF-1.7"


def test_logs_are_followed(run: Run, script: Script) -> None:
    line = {"sequence": 1, "timestamp": "2026-01-01T00:00:00Z", "level": "INFO", "message": "hello \x1b[31m"}
    script.answers = [Answer({"logs": [line], "next": 1, "is_over": True}), Answer({"logs": [], "next": 1, "is_over": True})]
    assert run("tasks", "logs", "t1", "-f")[1] == "2026-01-01T00:00:00Z INFO    hello �[31m\n"


@pytest.fixture
def hub(script: Script, monkeypatch: pytest.MonkeyPatch, run: Run) -> Iterator[Board]:
    """Sockets at another address than plain requests: the one test server speaks either."""
    with board() as found:
        address = found.url.replace("http", "ws") + "/tasks/t1/stream"
        monkeypatch.setattr(Subscription, "address", lambda self, caller: address)
        yield found


@pytest.mark.parametrize(("end", "code"), [("completed", 0), ("failed", 1)])
def test_a_task_is_watched(run: Run, hub: Board, script: Script, end: str, code: int) -> None:
    updates = [{"status": status, "progress": n, "sequence": n} for status, n in (("running", 50), (end, 51))]
    hub.talks = [lambda visit: visit.tell(*updates)]
    script.answers = [Answer(TASK | {"status": end})]
    found = run("tasks", "watch", "t1")
    assert found[0] == code and end in found[1]
    assert found[2].splitlines() == ["   50 %  running", f"   51 %  {end}"]
    hub.talks = [lambda visit: visit.tell(*updates)]
    told = run("--json", "tasks", "watch", "t1")[1].splitlines()
    assert [json.loads(text)["progress"] for text in told] == [50, 51]


def test_the_bar_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown, reported = Terminal(), []
    monkeypatch.setattr(sys, "stderr", shown)
    updates = [Document(status=status, progress=n) for status, n in (("pending", None), ("running", 42.4), ("completed", 100))]
    last = progress.follow(updates, reported.append)
    with progress.of_bytes("r.tar.gz") as tell:
        tell(512, 2048)
        tell(2048, 2048)
    text = shown.getvalue()
    assert last == updates[-1] and reported == []
    assert "running" in text and " 42 %" in text and "completed" in text and "100 %" in text and "2.00k/2.00k" in text
    assert not tqdm._instances, "each bar is closed"


def test_it_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "robocompute.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "tasks" in done.stdout and "robocompute tasks watch TASK_ID" in done.stdout, done.stderr
