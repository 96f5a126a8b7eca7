"""One JSON-RPC call over HTTP, bounded in time and size; never sent while a database transaction is open."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from app import counts
from app.db import assert_no_unit_of_work

ANSWER_BYTES_LIMIT = 8 * 1_048_576
# What reading an answer of the wrong shape raises
MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, OSError, RecursionError)
UNCLEAR = (httpx.HTTPError, httpx.StreamError, *MALFORMED)


class AnswerTooLarge(ValueError):
    """More than is read of one answer. Whoever asked for many things may ask for fewer."""


@contextmanager
def counted(chain: str, method: str) -> Iterator[list[str]]:
    """One call to a node, in the metrics: how long it took, and that it failed, where the block raises. What the block puts into
    the list is a failure of that kind: "refused" for a node's own no."""
    problems: list[str] = []
    try:
        with counts.timed("chain_rpc_seconds", chain, method):
            yield problems
    except Exception:
        if not problems:
            problems.append("unavailable")
        raise
    finally:
        for kind in ("unavailable", "refused"):
            counts.add("chain_rpc_errors", chain, method, kind, amount=problems.count(kind))


def call(chain: str, http: httpx.Client, url: str, timeout_seconds: float, method: str, params: list[Any]) -> Any:
    """The whole answer as JSON, an object with `result` or `error`, else one of UNCLEAR is raised. `chain` is for the metrics."""
    assert_no_unit_of_work()
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with counted(chain, method) as problems:
        status, data = post(http, url, timeout_seconds, request)
        if not 200 <= status < 300:
            raise httpx.RemoteProtocolError(f"the status is {status}")
        body = json.loads(data)
        if not isinstance(body, dict):
            raise TypeError(f"the answer is no object but {type(body).__name__}")
        if "error" in body:
            problems.append("refused")
        return body


def post(http: httpx.Client, url: str, timeout_seconds: float, request: dict[str, Any]) -> tuple[int, bytes]:
    """Status and body, within one time-out from first to last byte: a node that drips must not hold a worker."""
    deadline, data = time.monotonic() + timeout_seconds, bytearray()
    with http.stream("POST", url, json=request) as answer:
        for chunk in answer.iter_bytes():
            data += chunk
            if len(data) > ANSWER_BYTES_LIMIT:
                raise AnswerTooLarge(f"the answer has more than {ANSWER_BYTES_LIMIT} bytes")
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout(f"the answer took more than {timeout_seconds} s")
    return answer.status_code, bytes(data)
