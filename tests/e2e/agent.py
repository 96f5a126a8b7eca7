"""An agent's program: it starts `lightyard mcp` as its child and calls its tools by the official client, over stdio."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.conftest import ROOT
from tests.factories.missing import go_without

T = TypeVar("T")


class ToolRefused(Exception):
    """What a tool said no with."""


class Agent:
    """`folder` is where its pictures go; `options` are those of `lightyard mcp`."""

    def __init__(self, url: str, key: str, folder: Path, *options: str) -> None:
        try:
            from mcp import Client, StdioServerParameters
        except ModuleNotFoundError:
            go_without("the MCP SDK is not installed: run `make mcp`")
        command = ["-m", "app.cli", "mcp", "--url", url, "--downloads", str(folder), *options]
        environment = {"LIGHTYARD_API_KEY": key, "PYTHONPATH": str(ROOT)}
        server = StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=ROOT)
        self._connect: Callable[[], Any] = lambda: Client(server)

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

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The tool's answer; ToolRefused with its words."""
        result = await self.client.call_tool(name, arguments)
        if result.is_error:
            raise ToolRefused(result.content[0].text)
        found: dict[str, Any] = result.structured_content
        return found

    async def refused(self, name: str, **arguments: Any) -> str:
        try:
            found = await self.call(name, **arguments)
        except ToolRefused as refusal:
            return str(refusal)
        raise AssertionError(f"{name} was not refused: {found}")
