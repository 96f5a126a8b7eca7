"""Which of the host's processors Cycles renders on. Runs inside the sandbox.

Setting a device type that this build lacks raises TypeError; setting one whose hardware is absent raises nothing
and lists only the CPU, so the list is what decides.
"""

from __future__ import annotations

from typing import Any

DEVICE_TYPES = ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL")


def list_types(bpy: Any) -> list[str]:
    """The GPU kinds that Cycles found hardware for, best first."""
    preferences = _preferences(bpy)
    return [kind for kind in DEVICE_TYPES if _gpus(preferences, kind)]


def choose(bpy: Any, scene: Any, kinds: list[str], gpu_expected: bool) -> tuple[str, bool]:
    """Turns on the best of `kinds`; returns (the device's word in a result, whether it fell back to the CPU)."""
    preferences = _preferences(bpy)
    for kind in kinds:
        if _gpus(preferences, kind):
            for device in preferences.devices:
                device.use = device.type == kind
            scene.cycles.device = "GPU"
            return kind, False
    preferences.compute_device_type = "NONE"
    scene.cycles.device = "CPU"
    return "CPU", bool(kinds) or gpu_expected


def _preferences(bpy: Any) -> Any:
    return bpy.context.preferences.addons["cycles"].preferences


def _gpus(preferences: Any, kind: str) -> list[Any]:
    try:
        preferences.compute_device_type = kind
    except TypeError:
        return []
    preferences.refresh_devices()
    return [device for device in preferences.devices if device.type == kind]
