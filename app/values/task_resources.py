"""What a compute task asks for: cores, memory, disk and GPUs, read from what its owner wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.errors import InvalidInput

CODE = "INVALID_RESOURCE_REQUIREMENTS"
CPU, GPU = TYPES = ("cpu", "gpu")
# What any machine may have. A task that asks for more would wait for ever.
_MOST = {"cpu_cores": 1024, "gpu_count": 64, "gpu_memory_gb": 1024, "ram_gb": 65_536, "storage_gb": 100_000}
_DEFAULTS = {"cpu_cores": Decimal(1), "ram_gb": Decimal(2), "storage_gb": Decimal(10)}
_STEP = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Resources:
    """Cores may be parts of one; GB are 10⁹ bytes; `gpu_memory_gb` is of each GPU, 0 for any."""

    cpu_cores: Decimal
    gpu_count: int
    gpu_memory_gb: Decimal
    ram_gb: Decimal
    storage_gb: Decimal


def read(kind: str, wanted: Mapping[str, Any]) -> Resources:
    """What a task of this type asks for; what it leaves out is little. InvalidInput names the first that cannot be."""
    found = {name: _amount(wanted, name) for name in _DEFAULTS}
    if kind == GPU:
        count = _amount(wanted, "gpu_count", Decimal(1))
        if count != int(count):
            raise _refusal("gpu_count", "must be a whole number")
        memory = _amount(wanted, "gpu_memory_gb") if wanted.get("gpu_memory_gb") is not None else Decimal(0)
        return Resources(gpu_count=int(count), gpu_memory_gb=memory, **found)
    for name in ("gpu_count", "gpu_memory_gb"):
        if wanted.get(name) not in (None, 0):
            raise _refusal(name, "is for tasks of type gpu, and this one is of type cpu")
    return Resources(gpu_count=0, gpu_memory_gb=Decimal(0), **found)


def _amount(wanted: Mapping[str, Any], name: str, default: Decimal | None = None) -> Decimal:
    value = wanted.get(name)
    if value is None:
        return _DEFAULTS[name] if default is None else default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal(name, "must be a number")
    amount = Decimal(str(value))
    if not _STEP <= amount <= _MOST[name]:
        raise _refusal(name, f"must be above 0 and at most {_MOST[name]}")
    return amount.quantize(_STEP)


def _refusal(name: str, message: str) -> InvalidInput:
    return InvalidInput(f"resource_requirements.{name} {message}", code=CODE, details={"field": name})
