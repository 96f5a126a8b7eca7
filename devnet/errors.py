"""What a node answers when it says no, in JSON-RPC's and Solana's own codes and words."""

from typing import Any

WORDS = {
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "AlreadyProcessed": "This transaction has already been processed",
    "BlockhashNotFound": "Blockhash not found",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    "ProgramAccountNotFound": "Attempt to load a program that does not exist",
    "SignatureFailure": "Transaction did not pass signature verification",
}


class RpcError(Exception):
    """One JSON-RPC error: `code`, `message` and, for a failed simulation, `data`."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        return body if self.data is None else body | {"data": self.data}


class InvalidParams(RpcError):
    def __init__(self, message: str) -> None:
        super().__init__(-32602, f"Invalid params: {message}")


def describe(error: Any) -> str:
    """A TransactionError's JSON in a node's words."""
    if isinstance(error, str):
        return WORDS.get(error, error)
    kind, detail = next(iter(error.items()))
    if kind == "InstructionError":
        index, cause = detail
        custom = cause.get("Custom") if isinstance(cause, dict) else None
        what = f"custom program error: {custom:#x}" if custom is not None else str(cause)
        return f"Error processing Instruction {index}: {what}"
    if kind == "InsufficientFundsForRent":
        return f"Transaction results in an account ({detail['account_index']}) with insufficient funds for rent"
    return f"{kind}: {detail}"
