"""TON over toncenter's v2 HTTP interface, its own server or anybody's that speaks it."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx

from app.adapters import authorities
from app.adapters.chains import json_rpc
from app.adapters.chains.json_rpc import MALFORMED, UNCLEAR, AnswerTooLarge
from app.db import assert_no_unit_of_work
from app.errors import ChainUnavailable, ChainUnreadable

_ABOUT_THE_CALLER = (401, 403, 404, 408, 429)  # key, address or pace: nothing was said of what was asked
_TOO_FAST = 429
PACE_SECONDS = 1.1  # who has no key may ask once a second


class _TooLarge(ChainUnreadable):
    """A server's answer was larger than is read: it is there, and this one account can't be read so."""


class Toncenter:
    """Asks the servers in turn, as `app.adapters.chains.ton_gateway.TonTransport` does.

    `urls` are of the v2 interface, as `https://toncenter.com/api/v2`. A time-out, an unclear status or garbage from all of them
    is ChainUnavailable; ChainUnreadable when one did answer, with a no of its own. One that says
    that this is too fast is asked once more, after `pause`.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        timeout_seconds: float,
        api_key: str = "",
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._urls = tuple(f"{url.rstrip('/').removesuffix('/jsonRPC')}/jsonRPC" for url in urls)
        self._timeout_seconds = timeout_seconds
        self._pause = pause
        headers = {"X-API-Key": api_key} if api_key else {}
        self._http = httpx.Client(verify=authorities.trusted(), timeout=timeout_seconds, headers=headers)

    @property
    def is_configured(self) -> bool:
        return bool(self._urls)

    def account_state(self, address: str) -> Any:
        return self._call("getAddressInformation", {"address": address})

    def transactions(self, address: str, limit: int, lt: int | None, hash: str | None, to_lt: int) -> Any:
        """A page, or the first part of it: anybody may fill an account's history with messages of 256 KiB."""
        params: dict[str, Any] = {"address": address, "limit": limit, "to_lt": to_lt}
        if lt is not None:  # somewhere in the past, which may be long ago
            params |= {"lt": lt, "hash": hash or "", "archival": True}
        while True:
            try:
                return self._call("getTransactions", params)
            except _TooLarge:
                if params["limit"] <= 1:
                    raise
                params["limit"] = max(1, params["limit"] // 4)

    def run_get_method(self, address: str, name: str, stack: list[list[str]]) -> Any:
        return self._call("runGetMethod", {"address": address, "method": name, "stack": stack})

    def send(self, boc: bytes) -> None:
        self._call("sendBoc", {"boc": base64.b64encode(boc).decode()})

    def _call(self, method: str, params: dict[str, Any]) -> Any:
        problem = "no server is configured: set TON_API_URL"
        kind: type[ChainUnavailable] = ChainUnavailable
        for url in self._urls:
            try:
                with json_rpc.counted("ton", method) as problems:
                    body = self._ask(url, method, params)
                    if body["ok"] is True:
                        return body["result"]
                    problems.append("refused")
                problem, kind = str(body["error"]), ChainUnreadable
            except UNCLEAR as error:
                problem = f"{type(error).__name__}: {error}"
                kind = _TooLarge if isinstance(error, AnswerTooLarge) and kind is ChainUnavailable else kind
        raise kind(f"TON did not answer {method}: {problem[:200]}")

    def _ask(self, url: str, method: str, params: dict[str, Any]) -> Any:
        """The envelope `{ok, result}` or `{ok, error, code}`, whatever the status: a no comes with 4xx and 5xx ones."""
        assert_no_unit_of_work()
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        status, data = json_rpc.post(self._http, url, self._timeout_seconds, request)
        if status == _TOO_FAST:
            self._pause(PACE_SECONDS)
            status, data = json_rpc.post(self._http, url, self._timeout_seconds, request)
        if status in _ABOUT_THE_CALLER or status > 500:
            raise httpx.RemoteProtocolError(f"the status is {status}")
        try:
            body = json.loads(data)
        except MALFORMED as error:
            raise ValueError(f"status {status} without JSON") from error
        if not isinstance(body, dict) or not {"result", "error"} & body.keys():
            raise TypeError(f"status {status} without an answer")
        return body
