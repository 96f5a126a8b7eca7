"""The place of libtonlibjson under the real pytonlib: tonlib's requests answered from the local TON, in tonlib's JSON.

There is no local liteserver, and the library believes none without the chain's proofs. So pytonlib's own code runs, and below
it this stands in for the machine code: what the machine code itself would say is not shown by any test of this.
"""

import asyncio
import base64
from collections.abc import Awaitable
from typing import Any

import httpx
from pytonlib.tonlibjson import parse_tonlib_error

from app.adapters.chains import ton_cells
from app.values import ton_address
from app.values.ton_address import TESTNET

LIST = 10  # a liteserver gives no more at once


class StandIn:
    """Has the methods of pytonlib's TonLib that its client calls; `api_url` is the local TON's."""

    api_url = ""

    def __init__(self, loop: asyncio.AbstractEventLoop, ls_index: int, cdll_path: str | None, verbosity_level: int) -> None:
        self.loop, self.contracts = loop, dict[int, str]()

    async def close(self) -> None:
        """Nothing is open."""

    def execute(self, query: dict[str, Any], timeout: float = 10) -> Awaitable[Any]:
        return self.loop.run_in_executor(None, self._answer, query, timeout)

    def _answer(self, query: dict[str, Any], timeout: float) -> Any:
        kind = query["@type"].replace(".", "_")
        found = getattr(self, kind)(query, timeout)
        error = parse_tonlib_error(found)
        if error is not None:
            raise error
        return found

    def _call(self, method: str, timeout: float, /, **params: Any) -> Any:
        try:
            answer = httpx.post(f"{self.api_url}/{method}", json=params, timeout=timeout).json()
        except (httpx.HTTPError, ValueError) as error:
            return {"@type": "error", "code": 500, "message": f"LITE_SERVER_NETWORK: {error}"}
        if answer["ok"]:
            return answer["result"]
        word = "LITE_SERVER_NETWORK: " if answer["code"] in (429, 503) else ""
        return {"@type": "error", "code": answer["code"], "message": word + answer["error"]}

    def init(self, query: dict[str, Any], timeout: float) -> Any:
        return {"@type": "options.info", "@extra": query.get("@extra")}

    def raw_getAccountState(self, query: dict[str, Any], timeout: float) -> Any:
        found = self._call("getAddressInformation", timeout, address=query["account_address"]["account_address"])
        found.pop("state", None)  # toncenter's own word, which tonlib does not give
        return found

    def raw_getTransactions(self, query: dict[str, Any], timeout: float) -> Any:
        place, address = query["from_transaction_id"], query["account_address"]["account_address"]
        rows = self._call("getTransactions", timeout, address=address, lt=place["lt"], hash=place["hash"], limit=LIST)
        if isinstance(rows, dict):
            return rows
        for row in rows:
            for message in [*([row["in_msg"]] if "in_msg" in row else []), *row["out_msgs"]]:
                for side in ("source", "destination"):
                    message[side] = {"@type": "accountAddress", "account_address": message[side]}
        return {"@type": "raw.transactions", "transactions": rows, "previous_transaction_id": self._before(address, rows)}

    @staticmethod
    def _before(address: str, rows: list[dict[str, Any]]) -> dict[str, str]:
        url_safe = address.replace("+", "-").replace("/", "_")  # pytonlib writes addresses in standard base64
        data = base64.b64decode(rows[-1]["data"])
        last = ton_cells.read_transaction(ton_address.read(url_safe, TESTNET), data)
        hash = base64.b64encode(bytes.fromhex(last.previous_hash)).decode()
        return {"@type": "internal.transactionId", "lt": str(last.previous_lt), "hash": hash}

    def smc_load(self, query: dict[str, Any], timeout: float) -> Any:
        number = len(self.contracts)
        self.contracts[number] = query["account_address"]["account_address"]
        return {"@type": "smc.info", "id": number}

    def smc_runGetMethod(self, query: dict[str, Any], timeout: float) -> Any:
        stack = [_toncenter(item) for item in query["stack"]]
        address, name = self.contracts[query["id"]], query["method"]["name"]
        found = self._call("runGetMethod", timeout, address=address, method=name, stack=stack)
        if "stack" in found:
            found["stack"] = [_tonlib(item) for item in found["stack"]]
        return found

    def smc_getRawFullAccountState(self, query: dict[str, Any], timeout: float) -> Any:
        return self._call("getAddressInformation", timeout, address=self.contracts[query["id"]])

    def raw_sendMessage(self, query: dict[str, Any], timeout: float) -> Any:
        return self._call("sendBoc", timeout, boc=query["body"])


def _toncenter(item: dict[str, Any]) -> list[str]:
    if item["@type"] == "tvm.stackEntryNumber":
        return ["num", item["number"]["number"]]
    kind = item["@type"].removeprefix("tvm.stackEntry")
    return [f"tvm.{kind}", item[kind.lower()]["bytes"]]


def _tonlib(item: list[Any]) -> dict[str, Any]:
    kind, value = item
    if kind == "num":
        return {"@type": "tvm.stackEntryNumber", "number": {"@type": "tvm.numberDecimal", "number": str(int(value, 0))}}
    return {"@type": "tvm.stackEntryCell", "cell": {"@type": "tvm.cell", "bytes": value["bytes"]}}
