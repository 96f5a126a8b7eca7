"""The stacks of get methods, as toncenter v2 reads and writes them."""

import base64
from typing import Any

from pytoniq_core import Builder, Cell, Slice
from pytoniq_core.tlb.vm_stack import VmStack, VmTuple

from devnet.ton.errors import invalid
from devnet.ton.machine import to_cell, to_text

NUMBERS = ("num", "number", "int")


def read(entries: object) -> Cell:
    """The stack that a caller gives: `[["num", "0x1"], ["tvm.Slice", base64], ["tvm.Cell", base64]]`."""
    if not isinstance(entries, list):
        raise invalid("stack must be an array")
    values = [_value(entry) for entry in entries]
    return VmStack.serialize(values)


def _value(entry: object) -> Any:
    if not isinstance(entry, list) or len(entry) != 2:
        raise invalid("a stack entry is an array of two: its kind and its value")
    kind, value = entry
    try:
        if kind in NUMBERS:
            return int(str(value), 0)
        if kind in ("tvm.Cell", "tvm.Slice"):
            cell = to_cell(value)
            return cell if kind == "tvm.Cell" else cell.begin_parse()
        if kind in ("cell", "slice"):
            cell = _object_cell(value)
            return cell if kind == "cell" else cell.begin_parse()
    except Exception as error:  # noqa: BLE001  whatever the library says of a caller's bytes
        raise invalid(f"stack entry {str(entry)[:100]!r} cannot be read") from error
    raise invalid(f"stack entry of kind {str(kind)[:40]!r} is not supported")


def _object_cell(value: dict[str, Any]) -> Cell:
    """`{"data": {"b64", "len"}, "refs": [...]}`, or `{"bytes": base64}`."""
    if "bytes" in value:
        return to_cell(value["bytes"])
    data, length = base64.b64decode(value["data"]["b64"]), int(value["data"]["len"])
    builder = Builder()
    builder.store_bits("".join(f"{byte:08b}" for byte in data)[:length])
    for ref in value.get("refs", []):
        builder.store_ref(_object_cell(ref))
    return builder.end_cell()


def write(stack: str) -> list[list[Any]]:
    return [_written(value) for value in VmStack.deserialize(to_cell(stack).begin_parse())]


def _written(value: Any) -> list[Any]:
    if value is None:
        return ["list", {"@type": "tvm.list", "elements": []}]
    if isinstance(value, int):
        return ["num", hex(value)]
    if isinstance(value, VmTuple):
        return ["tuple", {"@type": "tvm.tuple", "elements": [_element(item) for item in value.list]}]
    cell = _as_cell(value)  # a slice is named cell too: toncenter does so for old clients
    return ["cell", {"bytes": to_text(cell), "object": cell_object(cell)}]


def _element(value: Any) -> dict[str, Any]:
    if value is None:
        return {"@type": "tvm.stackEntryList", "list": {"@type": "tvm.list", "elements": []}}
    if isinstance(value, int):
        return {"@type": "tvm.stackEntryNumber", "number": {"@type": "tvm.numberDecimal", "number": str(value)}}
    if isinstance(value, VmTuple):
        items = [_element(item) for item in value.list]
        return {"@type": "tvm.stackEntryTuple", "tuple": {"@type": "tvm.tuple", "elements": items}}
    name = "slice" if isinstance(value, Slice) else "cell"
    content = {"@type": f"tvm.{name}", "bytes": to_text(_as_cell(value))}
    return {"@type": f"tvm.stackEntry{name.capitalize()}", name: content}


def _as_cell(value: Any) -> Cell:
    if isinstance(value, Slice):
        return value.to_cell()
    if isinstance(value, Builder):
        return value.end_cell()
    if isinstance(value, Cell):
        return value
    raise invalid("the method left a value that has no JSON form")


def cell_object(cell: Cell) -> dict[str, Any]:
    bits = cell.bits.to01()
    padded = bits + "0" * (-len(bits) % 8)
    data = bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))
    refs = [cell_object(ref) for ref in cell.refs]
    return {"data": {"b64": base64.b64encode(data).decode(), "len": len(bits)}, "refs": refs, "special": False}
