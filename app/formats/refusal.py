"""The refusals of a scene, each with its stable code."""

from __future__ import annotations

from app.errors import InvalidInput


def not_a_scene(message: str) -> InvalidInput:
    return InvalidInput(message, code="SCENE_UNREADABLE")


def truncated(message: str) -> InvalidInput:
    return InvalidInput(
        f"{message} The upload is incomplete: save the scene again and send it once more.",
        code="SCENE_TRUNCATED",
    )


def bomb(message: str) -> InvalidInput:
    return InvalidInput(message, code="SCENE_BOMB")


def archive_refused(message: str) -> InvalidInput:
    return InvalidInput(message, code="SCENE_ARCHIVE_INVALID")


def mismatch(message: str) -> InvalidInput:
    return InvalidInput(message, code="SCENE_EXTENSION_MISMATCH")
