"""GPU figures through a stand-in libnvidia-ml, and none at all where there is none; which device Cycles is given.

There is no GPU here: the library below is a fake made by this test, driven by the real pynvml, and says so in its
device's name. Cycles' device list is a fake, too, with the behaviour seen in the real one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpu_node.agent import Agent
from gpu_node.runners.blender import child_devices
from gpu_node.runners.blender.runner import Host
from tests.factories.scenes import ROOT
from tests.gpu_node.fake_hub import FakeHub
from tests.gpu_node.test_agent import all_in

FAKE_NVML = """
/* A fake: two devices, of which the second gives nothing but its name. */
#include <string.h>
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(i + 1L); return 0; }
int nvmlDeviceGetName(void *d, char *s, unsigned n) { strncpy(s, d == (void *)1 ? "Fake GPU" : "Fake old GPU", n); return 0; }
int nvmlDeviceGetUUID(void *d, char *s, unsigned n) { if (d != (void *)1) return 3; strncpy(s, "GPU-1", n); return 0; }
struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(void *d, struct memory *m) {
  if (d != (void *)1) return 3;
  m->total = 1000; m->free = 600; m->used = 400; return 0; }
int nvmlDeviceGetTemperature(void *d, int kind, unsigned *t) { if (d != (void *)1) return 3; *t = 61; return 0; }
int nvmlDeviceGetPowerUsage(void *d, unsigned *p) { if (d != (void *)1) return 15; *p = 250500; return 0; }
struct rates { unsigned gpu, memory; };
int nvmlDeviceGetUtilizationRates(void *d, struct rates *r) { if (d != (void *)1) return 3; r->gpu = 0; r->memory = 5; return 0; }
int nvmlSystemGetDriverVersion(char *s, unsigned n) { strncpy(s, "999.1", n); return 0; }
"""
ASK = "import json; from gpu_node.machine import read_gpus; print(json.dumps(read_gpus()))"


def read_gpus_with(library_path: str | None) -> list[dict[str, object]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if library_path:
        environment["LD_LIBRARY_PATH"] = library_path
    asked = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, timeout=60, check=True)
    return list(json.loads(asked.stdout))


def require_compiler() -> str:
    """Loud where somebody counts on it, a skip with its reason elsewhere."""
    found, reason = shutil.which("gcc") or shutil.which("cc"), "no C compiler (gcc or cc) to make a libnvidia-ml with"
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    return found or pytest.skip(reason)


def test_under_ci_a_missing_compiler_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no C compiler"):
        require_compiler()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no C compiler"):
        require_compiler()


def test_what_nvml_does_not_give_is_null_never_zero(tmp_path: Path) -> None:
    compiler = require_compiler()
    (tmp_path / "nvml.c").write_text(FAKE_NVML)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "libnvidia-ml.so.1", tmp_path / "nvml.c"], check=True)
    nothing = dict.fromkeys(("uuid", "memory_total_bytes", "memory_used_bytes", "utilization_percent",
                             "temperature_celsius", "power_watts"))
    assert read_gpus_with(str(tmp_path)) == [
        {"index": 0, "uuid": "GPU-1", "name": "Fake GPU", "memory_total_bytes": 1000, "memory_used_bytes": 400,
         "utilization_percent": 0, "temperature_celsius": 61, "power_watts": 250.5, "driver_version": "999.1"},
        {**nothing, "index": 1, "name": "Fake old GPU", "driver_version": "999.1"},
    ]


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_without_a_gpu_there_are_no_figures() -> None:
    assert read_gpus_with(None) == []


class FakeDevice:
    def __init__(self, kind: str) -> None:
        self.type, self.use = kind, False


class FakePreferences:
    """As Cycles' own: a type this build lacks raises TypeError, absent hardware leaves only the CPU in the list."""

    def __init__(self, built: tuple[str, ...], present: dict[str, int]) -> None:
        self._built, self._present, self._kind = built, present, "NONE"
        self.devices: list[FakeDevice] = []

    @property
    def compute_device_type(self) -> str:
        return self._kind

    @compute_device_type.setter
    def compute_device_type(self, kind: str) -> None:
        if kind != "NONE" and kind not in self._built:
            raise TypeError(f'enum "{kind}" not found')
        self._kind = kind

    def refresh_devices(self) -> None:
        self.devices = [FakeDevice("CPU")] + [FakeDevice(self._kind) for _ in range(self._present.get(self._kind, 0))]


def fake_bpy(built: tuple[str, ...], **present: int) -> SimpleNamespace:
    addon = SimpleNamespace(preferences=FakePreferences(built, present))
    return SimpleNamespace(context=SimpleNamespace(preferences=SimpleNamespace(addons={"cycles": addon})))


LINUX = ("CUDA", "OPTIX", "HIP", "ONEAPI")


@pytest.mark.parametrize(("built", "present", "listed", "chosen"), [
    (LINUX, {"OPTIX": 2, "CUDA": 2}, ["OPTIX", "CUDA"], "OPTIX"),
    (LINUX, {"CUDA": 1}, ["CUDA"], "CUDA"),
    (LINUX, {"HIP": 1}, ["HIP"], "HIP"),
    (LINUX, {"ONEAPI": 1}, ["ONEAPI"], "ONEAPI"),
    (("METAL",), {"METAL": 1}, ["METAL"], "METAL"),
    (LINUX, {}, [], "CPU"),
])
def test_the_best_device_there_is_is_chosen(
    built: tuple[str, ...], present: dict[str, int], listed: list[str], chosen: str
) -> None:
    bpy, scene = fake_bpy(built, **present), SimpleNamespace(cycles=SimpleNamespace(device="?"))
    assert child_devices.list_types(bpy) == listed
    assert child_devices.choose(bpy, scene, listed, gpu_expected=bool(listed)) == (chosen, False)
    assert scene.cycles.device == ("CPU" if chosen == "CPU" else "GPU")
    used = [device.type for device in bpy.context.preferences.addons["cycles"].preferences.devices if device.use]
    assert used == ([] if chosen == "CPU" else [chosen] * present[chosen]), "the GPUs work, the CPU does not slow them down"


@pytest.mark.parametrize(("listed", "expected"), [(["OPTIX"], True), ([], True)])
def test_a_gpu_that_went_away_is_a_fall_back_and_said(listed: list[str], expected: bool) -> None:
    bpy, scene = fake_bpy(LINUX), SimpleNamespace(cycles=SimpleNamespace(device="?"))
    assert child_devices.choose(bpy, scene, listed, gpu_expected=True) == ("CPU", expected)
    assert scene.cycles.device == "CPU"


def test_falling_back_is_said_in_the_result_and_in_the_heartbeat(
    hub: FakeHub, host: Host, start_agent: Callable[..., Agent], scenes: dict[str, Path]
) -> None:
    job_id = hub.add_job(scenes["turntable"], [1])
    start_agent(host=replace(host, has_gpu=True))
    hub.wait(all_in(hub, job_id, "completed"))
    result = hub.of(job_id)[0].result
    assert result is not None and (result["device"], result["fell_back"]) == ("CPU", True)
    assert any("rendered on the CPU" in warning for warning in result["warnings"])
    hub.wait(lambda: any(path.endswith("/heartbeat") and body["machine"]["fell_back"] for path, body in hub.calls))
