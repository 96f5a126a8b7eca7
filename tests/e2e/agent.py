"""An agent with nothing but a wallet, and its program: that starts `lightyard mcp` as its child and calls its tools by the
official client, over stdio."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx

from app.values.money import DECIMALS, parse
from devnet.payer import Payer
from tests.e2e.conftest import ROOT
from tests.factories.missing import go_without

SCOPES = ["jobs:read", "jobs:write", "scenes:read", "scenes:write", "credits:read", "credits:write"]
T = TypeVar("T")


class Owner:
    """Who has a wallet with RENDER, and nothing else: it signs in, makes a key for its agent, tops up and redeems credits."""

    def __init__(self, endpoints: dict[str, str], render: str) -> None:
        self.wallet = Payer(endpoints["solana_rpc_url"])
        self.wallet.airdrop(10**9)
        self.wallet.mint(render, "RENDER")
        self.http = httpx.Client(base_url=f"{endpoints['api_url']}/rnp/v1", timeout=60)
        body = {"chain": "solana", "address": self.wallet.address}
        message = self.post("/wallet/challenge", **body)["message"]
        self.act_with(self.post("/wallet/login", **body, signature=self.wallet.sign(message))["access_token"])
        self.key = str(self.post("/keys", name="agent", scopes=SCOPES)["secret"])
        self.act_with(self.key)

    def act_with(self, secret: str) -> None:
        self.http.headers["Authorization"] = f"Bearer {secret}"

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def get(self, path: str) -> dict[str, Any]:
        return dict(self.http.get(path).raise_for_status().json())

    def buy_credits(self, amount: str) -> None:
        """RENDER from the wallet, by memo, and all of it redeemed."""
        asked = self.post("/credits/topups", asset="RENDER", amount=amount)
        minor = parse(asked["amount"], "RENDER").minor
        signature = self.wallet.pay_token(asked["pay_to"], minor, asked["mint"], DECIMALS["RENDER"], asked["memo"])
        self.wallet.wait_final(signature)
        assert self.post(f"/credits/topups/{asked['id']}/pay", tx_signature=signature)["status"] == "confirmed"
        assert self.post("/credits/redeem", amount=amount)["credits"] == asked["amount"]

    @property
    def credits(self) -> Decimal:
        return Decimal(self.get("/credits")["credits"])

    @property
    def held(self) -> Decimal:
        return Decimal(self.get("/credits")["held"]["RCREDIT"])


class ToolRefused(Exception):
    """What a tool said no with."""


class Agent:
    """`folder` is where its pictures go; `options` are those of `lightyard mcp`."""

    def __init__(self, url: str, key: str, folder: Path, *options: str) -> None:
        try:
            from mcp import Client, StdioServerParameters
            from mcp.client.stdio import stdio_client
        except ModuleNotFoundError:
            go_without("the MCP SDK is not installed: run `make mcp`")
        command = ["-m", "app.cli", "mcp", "--url", url, "--downloads", str(folder), *options]
        environment = {"LIGHTYARD_API_KEY": key, "PYTHONPATH": str(ROOT)}
        server = StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=ROOT)
        # By itself the client gives the server whatever sys.stderr was when its module was imported: a test's, perhaps.
        self._connect: Callable[[], Any] = lambda: Client(stdio_client(server, errlog=sys.__stderr__ or sys.stderr))

    def go(self, story: Callable[["Tools"], Awaitable[T]]) -> T:
        """One session, from the server's start to its end."""

        async def session() -> T:
            async with self._connect() as client:
                return await story(Tools(client))

        return asyncio.run(session())


class Tools:
    """The server's tools, as coroutines by their names."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.heard: list[tuple[float, float | None, str | None]] = []  # of the last call's progress

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The tool's answer; ToolRefused with its words."""
        self.heard.clear()
        result = await self.client.call_tool(tool, arguments, progress_callback=self._hear)
        if result.is_error:
            raise ToolRefused(result.content[0].text)
        found: dict[str, Any] = result.structured_content
        return found

    async def _hear(self, done: float, total: float | None, message: str | None) -> None:
        self.heard.append((done, total, message))

    async def refused(self, tool: str, /, **arguments: Any) -> str:
        try:
            found = await self.call(tool, **arguments)
        except ToolRefused as refusal:
            return str(refusal)
        raise AssertionError(f"{tool} was not refused: {found}")
