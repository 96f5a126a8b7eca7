"""What can go wrong with a piece of work on this host, by what can be done about it.

The codes are those of PROTOCOL.md section 5: the hub decides by them whether another host may succeed.
"""

from __future__ import annotations

from enum import StrEnum


class FailureCode(StrEnum):
    SCENE_UNREADABLE = "SCENE_UNREADABLE"
    SCENE_TOO_NEW = "SCENE_TOO_NEW"
    NO_CAMERA = "NO_CAMERA"
    NO_SUCH_FRAME = "NO_SUCH_FRAME"
    ENGINE_UNSUPPORTED = "ENGINE_UNSUPPORTED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    GPU_ERROR = "GPU_ERROR"
    TIME_LIMIT = "TIME_LIMIT"
    OUTPUT_LIMIT = "OUTPUT_LIMIT"
    PICTURE_LIMIT = "PICTURE_LIMIT"
    CRASHED = "CRASHED"
    SANDBOX_ERROR = "SANDBOX_ERROR"
    INPUT_UNAVAILABLE = "INPUT_UNAVAILABLE"
    INPUT_CORRUPT = "INPUT_CORRUPT"
    UPLOAD_FAILED = "UPLOAD_FAILED"
    PAYLOAD_INVALID = "PAYLOAD_INVALID"
    INFERENCE_AWAY = "INFERENCE_AWAY"
    INFERENCE_REFUSED = "INFERENCE_REFUSED"
    INFERENCE_FAILED = "INFERENCE_FAILED"
    INFERENCE_GARBLED = "INFERENCE_GARBLED"
    IMAGE_NOT_FOUND = "IMAGE_NOT_FOUND"
    IMAGE_INVALID = "IMAGE_INVALID"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
    GPU_UNAVAILABLE = "GPU_UNAVAILABLE"
    EXECUTION_ERROR = "EXECUTION_ERROR"


class NodeError(Exception):
    """Everything this package raises on purpose."""


KILLED = 137  # what a shell says of a program that was killed


class WorkFailed(NodeError):
    """A unit of work failed for a reason that the hub must be told.

    `exit_code`: a container has ended by itself with this status, or at a limit of its own with KILLED, after `seconds`: no other
    host will do better, and it is paid.
    """

    def __init__(self, code: FailureCode, message: str, log_tail: str = "", exit_code: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.log_tail = log_tail
        self.exit_code = exit_code
        self.seconds = 0.0


class WorkStopped(NodeError):
    """The work was stopped because its attempt is dead or the node drains; nothing is to be reported."""
