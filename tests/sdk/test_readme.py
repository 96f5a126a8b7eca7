"""README.md's examples: each compiles, and calls what there is with arguments that it takes."""

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

from robocompute import AsyncRoboComputeClient, RoboComputeClient, RoboComputeProvider
from tests.sdk.test_package import SDK

BLOCKS = re.findall(r"```python\n(.*?)```", (SDK / "README.md").read_text(), re.DOTALL)
URL = "http://127.0.0.1:1/api/v1"


def dotted(node: ast.expr) -> list[str]:
    """`client.tasks.create` as its names; empty for what is no such chain."""
    if isinstance(node, ast.Name):
        return [node.id]
    before = dotted(node.value) if isinstance(node, ast.Attribute) else []
    return [*before, node.attr] if before and isinstance(node, ast.Attribute) else []


def calls(tree: ast.Module) -> Iterator[tuple[list[str], ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func):
            yield dotted(node.func), node


def test_its_examples_are_true() -> None:
    seen = set()
    clients: list[Any] = [RoboComputeClient("k", base_url=URL), AsyncRoboComputeClient("k", base_url=URL)]
    provider = RoboComputeProvider("k", "p", base_url=URL)
    for block in BLOCKS:
        tree = ast.parse(block)
        roots = {"client": clients["async" in block], "provider": provider}
        for names, call in calls(tree):
            if names[0] in roots:
                found = roots[names[0]]
                for name in names[1:]:
                    found = getattr(found, name)
                inspect.signature(found).bind(*call.args, **{str(item.arg): item.value for item in call.keywords})
                seen.add(".".join(names))
            elif names[0] in ("RoboComputeClient", "RoboComputeProvider"):
                known = inspect.signature(RoboComputeClient.__init__).parameters
                assert {str(item.arg) for item in call.keywords} <= set(known)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("robocompute"):
                exec(ast.unparse(node))
    assert len(BLOCKS) >= 7 and len(seen) >= 20, seen
