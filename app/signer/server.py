"""The signer's socket: one JSON line in, one out, one caller after another; only this user's processes may connect."""

import base64
import json
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from app.errors import LightyardError
from app.signer.desk import Desk
from app.values import payouts
from app.values.payouts import SOLANA, Refused, Terms

log = structlog.get_logger()
LINE_BYTES = 65_536
CALLER_SECONDS = 10  # a caller that says nothing keeps the others waiting no longer
_CREDENTIALS = struct.Struct("3i")


class Server:
    """Listens on a unix socket with 0600. The path is reached through its folder, so that a long one does no harm."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self._desk = desk
        self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(FileNotFoundError):
            os.unlink(path.name, dir_fd=self._folder)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            self._socket.bind(f"/proc/self/fd/{self._folder}/{path.name}")
        finally:
            os.umask(old)
        self._socket.listen(64)

    def serve(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Until the process ends; a caller that misbehaves loses its connection and nothing else."""
        while not is_over():
            caller, _ = self._socket.accept()
            with caller:
                try:
                    self._attend(caller)
                except OSError as error:
                    log.warning("signer.caller_lost", error=str(error))

    def _attend(self, caller: socket.socket) -> None:
        _, user, _ = _CREDENTIALS.unpack(caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if user not in (0, os.geteuid()):
            log.warning("signer.stranger", user=user)
            return
        caller.settimeout(CALLER_SECONDS)
        with caller.makefile("rwb") as stream:
            line = stream.readline(LINE_BYTES)
            if line.endswith(b"\n"):
                stream.write(json.dumps(self.answer(line)).encode() + b"\n")

    def answer(self, line: bytes) -> dict[str, Any]:
        """The answer to one request: `signed`, `cosigned`, `refused`, `addresses`, or `error` for what is no request."""
        try:
            body = json.loads(line)
            if body["do"] == "addresses":
                return {"addresses": self._desk.addresses(), "fee_payer": self._desk.fee_payer()}
            if body["do"] == "cosign":
                return self._cosign(base64.b64decode(body["transaction"], validate=True))
            if body["do"] != "sign":
                raise ValueError(f"{body['do']!r} is not done here")
            orders = [payouts.from_json(order) for order in body["orders"]]
            terms, replaces = Terms(**body["terms"]), [str(item) for item in body["replaces"]]
            answer = self._desk.sign(str(body["chain"]), orders, terms, replaces)
        except (ValueError, KeyError, TypeError, RecursionError, LightyardError) as error:
            return {"error": f"{type(error).__name__}: {error}"}
        if isinstance(answer, Refused):
            return _refused(answer)
        payout_ids = [str(order.payout_id) for order in answer.orders]
        log.info("signer.signed", chain=str(body["chain"]), tx_hash=answer.tx_hash, payout_ids=payout_ids)
        return {"signed": payouts.write_signed(answer)}

    def _cosign(self, raw: bytes) -> dict[str, Any]:
        answer = self._desk.cosign(raw)
        if isinstance(answer, Refused):
            return _refused(answer)
        log.info("signer.cosigned", chain=SOLANA)
        return {"cosigned": base64.b64encode(answer).decode()}


def _refused(answer: Refused) -> dict[str, Any]:
    log.warning("signer.refused", reason=answer.reason, message=answer.message)
    payout_id = None if answer.payout_id is None else str(answer.payout_id)
    return {"refused": {"reason": answer.reason, "message": answer.message, "payout_id": payout_id, "asset": answer.asset}}
