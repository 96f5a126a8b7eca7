"""GPU figures through a real (if tiny) libnvidia-ml, and none at all where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories.scenes import ROOT

FAKE_NVML = """
#include <string.h>
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)1; return 0; }
int nvmlDeviceGetName(void *d, char *s, unsigned n) { strncpy(s, "Test GPU", n); return 0; }
int nvmlDeviceGetUUID(void *d, char *s, unsigned n) { strncpy(s, "GPU-1", n); return 0; }
struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(void *d, struct memory *m) { m->total = 1000; m->free = 600; m->used = 400; return 0; }
int nvmlDeviceGetTemperature(void *d, int kind, unsigned *t) { *t = 61; return 0; }
int nvmlDeviceGetPowerUsage(void *d, unsigned *p) { return 3; }
"""
ASK = "import json; from gpu_node.machine import read_gpus; print(json.dumps(read_gpus()))"


def read_gpus_with(library_path: str | None) -> list[dict[str, object]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if library_path:
        environment["LD_LIBRARY_PATH"] = library_path
    asked = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, timeout=60, check=True)
    return list(json.loads(asked.stdout))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler to make a libnvidia-ml with")
def test_what_nvml_does_not_give_is_null_never_zero(tmp_path: Path) -> None:
    (tmp_path / "nvml.c").write_text(FAKE_NVML)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "libnvidia-ml.so.1", tmp_path / "nvml.c"], check=True)
    assert read_gpus_with(str(tmp_path)) == [{
        "index": 0, "uuid": "GPU-1", "name": "Test GPU", "memory_total_bytes": 1000, "memory_used_bytes": 400,
        "utilization_percent": None, "temperature_celsius": 61, "power_watts": None, "driver_version": None,
    }]


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_without_a_gpu_there_are_no_figures() -> None:
    assert read_gpus_with(None) == []
