"""`lightyard mcp` as a program starts it: what is on its standard output, and its end."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import ROOT
from tests.factories.missing import go_without

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
END_SECONDS = 30  # a call to a hub that is silent would go on for twice as long


def test_messages_alone_are_on_its_output_and_it_ends_with_its_input(tmp_path: Path) -> None:
    if importlib.util.find_spec("mcp") is None:
        go_without("the MCP SDK is not installed: run `make mcp`")
    noise = tmp_path / "noise.blend"
    noise.write_text("no scene")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "app.cli", "mcp", "--url", url, "--downloads", str(tmp_path / "pictures")]
        with subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "LIGHTYARD_API_KEY": "ly_secret"}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None

            def say(**message: Any) -> None:
                process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
                process.stdin.flush()

            def call(number: int, tool: str, **arguments: Any) -> None:
                say(id=number, method="tools/call", params={"name": tool, "arguments": arguments})

            say(id=1, method="initialize", params=HELLO)
            heard = [process.stdout.readline()]
            say(method="notifications/initialized")
            process.stdin.write("no message\n")
            call(2, "balance")
            silent.accept()  # it has asked, and waits
            call(3, "inspect", scene=str(noise))
            call(4, "render", frames="1", max_amount="much")
            heard += [process.stdout.readline() for _ in range(2)]
            process.stdin.close()
            try:
                code = process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                pytest.fail("it waits for the hub, with nobody to answer")
            heard += process.stdout.readlines()
            said = process.stderr.read()
    answers = {message["id"]: message for message in map(json.loads, filter(str.strip, heard))}
    assert code == 0 and answers[1]["result"]["serverInfo"]["name"] == "lightyard"
    assert "SCENE_" in told(answers[3]) and "either a scene or a prompt" in told(answers[4])
    assert "ly_secret" not in said + "".join(heard) and "Traceback" not in said


def told(answer: dict[str, Any]) -> str:
    assert answer["result"]["isError"]
    return str(answer["result"]["content"][0]["text"])
