"""TON's own transaction executor and virtual machine, as pytvm packs them: nothing here imitates them."""

import base64
import ctypes
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytvm.engine
from pytoniq_core import Address, Cell, begin_cell
from pytvm.engine import EmulatorEngineC
from pytvm.utils import DEFAULT_CONFIG_BOC, get_method_id

CONFIG = DEFAULT_CONFIG_BOC.encode()
GET_METHOD_GAS = 1_000_000
QUIET = 0


def to_text(cell: Cell) -> str:
    return base64.b64encode(cell.to_boc()).decode()


def to_cell(text: str) -> Cell:
    return Cell.one_from_boc(base64.b64decode(text))


# an account that nobody has ever written to, as the executor wants it: no account, no last transaction
NO_ACCOUNT = to_text(
    begin_cell().store_ref(begin_cell().store_bit(0).end_cell()).store_bytes(bytes(32)).store_uint(0, 64).end_cell()
)


@dataclass(frozen=True)
class Landed:
    """One transaction: its own bag of cells and the account's state after it, both base64."""

    transaction: str
    state: str


class Refused(Exception):
    """The contract did not accept an external message: its exit code and the end of the machine's log."""

    def __init__(self, exit_code: int, log: str) -> None:
        super().__init__(f"exit code {exit_code}")
        self.exit_code, self.log = exit_code, log


class Machine:
    """Not for two threads at once: the chain holds a lock."""

    def __init__(self) -> None:
        path = next(Path(pytvm.engine.__file__).parent.glob("libemulator*"))
        engine = EmulatorEngineC(str(path))  # it declares what the library's functions take
        engine.emulator_set_verbosity_level(QUIET)
        self._library = engine.lib
        # but both of these as 32 bits: a balance above 4.29 TON and every logical time of a real chain would be cut
        self._library.transaction_emulator_set_lt.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        text, number, amount = ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint64
        self._library.tvm_emulator_set_c7.argtypes = [ctypes.c_void_p, text, number, amount, text, text]
        # and never frees what they give
        self._library.transaction_emulator_emulate_transaction.restype = ctypes.c_void_p
        self._library.tvm_emulator_run_get_method.restype = ctypes.c_void_p
        self._free = ctypes.CDLL(None).free
        self._free.argtypes = [ctypes.c_void_p]
        self._emulator = self._library.transaction_emulator_create(CONFIG, QUIET)

    def _json(self, pointer: int) -> dict[str, Any]:
        try:
            return dict(json.loads(ctypes.string_at(pointer)))
        finally:
            self._free(pointer)

    def run(self, state: str, message: str, unix_time: int, lt: int, ignore_signature: bool = False) -> Landed:
        """Execute a message on an account. Raises Refused when an external message is not accepted: nothing happened then."""
        library, emulator = self._library, self._emulator
        library.transaction_emulator_set_unixtime(emulator, unix_time)
        library.transaction_emulator_set_lt(emulator, lt)
        library.transaction_emulator_set_ignore_chksig(emulator, ignore_signature)
        found = self._json(library.transaction_emulator_emulate_transaction(emulator, state.encode(), message.encode()))
        if found["success"]:
            return Landed(found["transaction"], found["shard_account"])
        if found.get("external_not_accepted"):
            raise Refused(int(found.get("vm_exit_code", 0)), str(found.get("vm_log", "")))
        raise Refused(0, str(found.get("error", "the message could not be executed")))

    def run_get_method(
        self, code: Cell, data: Cell, address: Address, balance: int, unix_time: int, method: str | int, stack: Cell
    ) -> dict[str, Any]:
        """What a get method leaves: `stack` (base64), `gas_used`, `vm_exit_code`."""
        library, name = self._library, address.to_str(False).encode()
        emulator = library.tvm_emulator_create(to_text(code).encode(), to_text(data).encode(), QUIET)
        try:
            library.tvm_emulator_set_c7(emulator, name, unix_time, balance, bytes(32).hex().encode(), CONFIG)
            library.tvm_emulator_set_gas_limit(emulator, GET_METHOD_GAS)
            number = get_method_id(method) if isinstance(method, str) else method
            return self._json(library.tvm_emulator_run_get_method(emulator, number, to_text(stack).encode()))
        finally:
            library.tvm_emulator_destroy(emulator)
