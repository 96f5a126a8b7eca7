"""What a host lacks to run the marketplace, and how to mend it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

from app.config import Settings
from app.stack.ports import is_free
from app.stack.postgres import BIN
from app.stack.stack import CHAIN_PORT_OFFSET, NODE_PYTHON, ROOT, is_stack_running
from devnet.evm import program as evm
from devnet.ton import program as ton

OK, WARN, BAD = "OK", "WARN", "BAD"
DISK_WANTED_BYTES = 5 * 10**9
NODE_LINE = re.compile(r"^(OK|WARN|BAD) +([a-z]+): (.*)$")


@dataclass(frozen=True, slots=True)
class Finding:
    """BAD: it can't run; WARN: it runs with less."""

    mark: str
    name: str
    text: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Everything looked at, good or bad."""
    return [
        _python(),
        _server_user(),
        _disk(settings.home),
        *_ports(settings),
        _postgres(settings),
        _valkey(settings),
        _evm(settings),
        _ton(settings),
        *_node(settings),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return Finding(OK, "python", f"{version} in {sys.prefix}")
    return Finding(BAD, "python", f"{version}: Blender's module needs 3.11", "install python3.11 and run `make clean install`")


def _server_user() -> Finding:
    if os.geteuid() != 0:
        return Finding(OK, "user", "not root: PostgreSQL runs as yourself")
    if shutil.which("setpriv"):
        return Finding(OK, "user", "root: PostgreSQL runs as nobody")
    return Finding(BAD, "user", "root, and no setpriv to run PostgreSQL as somebody else", "apt-get install util-linux")


def _disk(home: Path) -> Finding:
    folder = next(place for place in (home, *home.parents) if place.exists())
    if not os.access(folder, os.W_OK):
        return Finding(BAD, "home", f"{folder} can't be written", "set LIGHTYARD_HOME to a folder of yours")
    free = shutil.disk_usage(folder).free
    if free < DISK_WANTED_BYTES:
        return Finding(WARN, "home", f"{free / 1e9:.1f} GB free below {folder}", "make room, or set LIGHTYARD_HOME elsewhere")
    return Finding(OK, "home", f"{free / 1e9:.0f} GB free below {folder}")


def _ports(settings: Settings) -> Iterator[Finding]:
    if is_stack_running(settings.home):
        yield Finding(OK, "ports", f"a stack is running in {settings.home}")
        return
    wanted = [settings.port]
    if not settings.solana_rpc_url:
        wanted += [settings.port + CHAIN_PORT_OFFSET, settings.port + CHAIN_PORT_OFFSET + 1]
    for port in wanted:
        if is_free(port, settings.bind_host):
            yield Finding(OK, "ports", f"{port} is free")
        else:
            yield Finding(BAD, "ports", f"{port} is taken", "stop the program that listens there, or set PORT")


def _postgres(settings: Settings) -> Finding:
    if not settings.database_url:
        if (BIN / "postgres").exists():
            return Finding(OK, "postgres", "embedded")
        return Finding(BAD, "postgres", "the embedded server is missing", "make clean install, or set DATABASE_URL")
    try:
        with psycopg.connect(settings.database_url, connect_timeout=5) as connection:
            version = connection.info.server_version // 10_000
    except psycopg.Error as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        return Finding(BAD, "postgres", f"DATABASE_URL: {reason}", "start the server, or mend DATABASE_URL")
    return Finding(OK, "postgres", f"DATABASE_URL answers, version {version}")


def _valkey(settings: Settings) -> Finding:
    if not settings.redis_url:
        return Finding(OK, "valkey", "embedded")
    try:
        redis.Redis.from_url(settings.redis_url, socket_timeout=5, socket_connect_timeout=5).ping()
    except (redis.RedisError, ValueError) as error:
        return Finding(BAD, "valkey", f"REDIS_URL: {error}", "start the server, or mend REDIS_URL")
    return Finding(OK, "valkey", "REDIS_URL answers")


def _evm(settings: Settings) -> Finding:
    if settings.evm_rpc_url:
        return Finding(OK, "evm", f"roots are anchored through {settings.evm_rpc_urls[0]}")
    program = evm.command(0, settings.home)
    if program is None:
        return Finding(WARN, "evm", "no local EVM chain: roots are not anchored", "make evm-chain, or set EVM_RPC_URL")
    return Finding(OK, "evm", f"local chain {program[0]}")


def _ton(settings: Settings) -> Finding:
    if settings.ton_api_urls or settings.ton_config:
        return Finding(OK, "ton", f"TON through {(settings.ton_api_urls or (settings.ton_config,))[0]}")
    if ton.command(0, None, 0) is None:
        return Finding(WARN, "ton", "no local TON: nothing is paid in it", "make ton-chain, or set TON_API_URL")
    return Finding(OK, "ton", "local chain")


def _node(settings: Settings) -> Iterator[Finding]:
    """The local GPU node looks after itself: its own doctor, run with its own Python."""
    if settings.nodes == 0:
        yield Finding(OK, "node", "NODES=0: none runs here")
        return
    if not NODE_PYTHON.exists():
        yield Finding(BAD, "node", f"{NODE_PYTHON} is missing", "make install, or set NODES=0")
        return
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HUB_URL": f"http://127.0.0.1:{settings.port}"}
    environment["NODE_HOME"] = str(settings.home / "node-0")
    command = [str(NODE_PYTHON), "-m", "gpu_node", "doctor"]
    asked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    found = list(_read_node_lines(asked.stdout, is_stack_running(settings.home)))
    if not found:
        reason = (asked.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        found = [Finding(BAD, "node", f"its doctor did not run: {reason}", "make clean install")]
    yield from found


def _read_node_lines(text: str, is_running: bool) -> Iterator[Finding]:
    """The node's findings; that a hub does not answer is no news while none runs."""
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        match = NODE_LINE.match(line)
        if match and (is_running or match[2] != "hub"):
            advice = following.strip().removeprefix("-> ") if following.startswith("      ->") else ""
            yield Finding(match[1], f"node's {match[2]}", match[3], advice)
