"""JSON-RPC 2.0 over the chain: one request or a batch in, answers out, and no way to take the server down."""

import inspect
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from devnet.chain import Chain
from devnet.errors import InvalidParams, RpcError
from devnet.rpc.accounts import AccountMethods
from devnet.rpc.cluster import ClusterMethods
from devnet.rpc.faucet import FaucetMethods
from devnet.rpc.transactions import TransactionMethods

BATCH_LIMIT = 1_000
Methods = dict[str, Callable[..., Any]]


class Dispatcher:
    """Answers bodies by a table of methods; what a method did not foresee is -32603, with the trace on stderr."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods

    def answer(self, body: str | bytes) -> str | None:
        """JSON text; None when nothing was asked (notifications)."""
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            return json.dumps(failure(None, RpcError(-32700, "Parse error")))
        if not isinstance(request, list):
            reply = self._answer_one(request)
            return None if reply is None else json.dumps(reply)
        if not 0 < len(request) <= BATCH_LIMIT:
            return json.dumps(failure(None, RpcError(-32600, f"A batch holds 1 to {BATCH_LIMIT} requests")))
        replies = [reply for item in request if (reply := self._answer_one(item)) is not None]
        return json.dumps(replies) if replies else None

    def _answer_one(self, request: Any) -> dict[str, Any] | None:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return failure(None, RpcError(-32600, "Invalid request"))
        ident = request.get("id")
        try:
            result = self._call(request["method"], request.get("params"))
            reply: dict[str, Any] = {"jsonrpc": "2.0", "result": result, "id": ident}
        except RpcError as error:
            reply = failure(ident, error)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            reply = failure(ident, RpcError(-32603, f"Internal error: {type(error).__name__}"))
        return reply if "id" in request else None

    def _call(self, name: str, params: Any) -> Any:
        method = self._methods.get(name)
        if method is None:
            raise RpcError(-32601, "Method not found")
        if params is not None and not isinstance(params, list):
            raise InvalidParams("the parameters must be a list")
        try:
            bound = inspect.signature(method).bind(*(params or []))
        except TypeError as error:
            raise InvalidParams(str(error)) from error
        return method(*bound.args)


def failure(ident: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": error.json(), "id": ident}


def methods_of(*owners: Any) -> Methods:
    """Every public method of the owners, by its name."""
    return {name: getattr(owner, name) for owner in owners for name in vars(type(owner)) if not name.startswith("_")}


def http_methods(chain: Chain) -> Methods:
    owners = (ClusterMethods(chain), AccountMethods(chain), TransactionMethods(chain), FaucetMethods(chain))
    return methods_of(*owners)
