"""Scenes as the dialect shows them. What a node said of a file is a stranger's word: each member is of its kind, or null."""

from typing import Any

from app.api import moments
from app.api.context import hub
from app.core import inspections
from app.core.account_scenes import SceneView
from app.values import upload_tokens
from app.values.states import SceneState

WHOLE_LIMIT = 2**53


def shown(view: SceneView, may_send: bool = True) -> dict[str, Any]:
    """A scene, to its owner; `may_send` says whether the address is shown that its bytes are sent to without a credential."""
    own, scene = view.own, view.scene
    report = scene.report if scene is not None and own.state == SceneState.READY else None
    body = {
        "id": own.id,
        "status": own.state,
        "name": own.file_name,
        "sha256": own.sha256,
        "size_bytes": own.size_bytes,
        "received_bytes": own.received_bytes,
        "format": scene.format if scene is not None else None,
        "error": {"code": own.error_code, "message": own.error_message or ""} if own.error_code else None,
        "warnings": inspections.warnings_of(scene) if scene is not None and own.state == SceneState.READY else [],
        "inspection": inspection(report) if report is not None else None,
        "created_at": moments.written(own.created_at),
    }
    if own.state == SceneState.UPLOADING:
        body |= {"expires_at": moments.written(own.expires_at)} | ({"upload_url": _upload_url(view)} if may_send else {})
    return body


def _upload_url(view: SceneView) -> str:
    settings = hub().settings
    signature = upload_tokens.make(settings.secret_key, view.own.id)
    return f"{settings.base_url}/rnp/v1/scenes/{view.own.id}/content?signature={signature}"


def inspection(report: dict[str, Any]) -> dict[str, Any]:
    """A report of gpu_node/PROTOCOL.md, section 7, in the dialect's words."""
    return {
        "cameras": _texts(report.get("cameras")),
        "frame_range": {"start": _whole(report.get("frame_start")), "end": _whole(report.get("frame_end"))},
        "resolution": {name: _whole(report.get(name)) for name in ("width", "height")},
        "fps": _number(report.get("fps")),
        **{name: _text(report.get(name)) for name in ("active_camera", "engine", "output_format", "blender_version")},
        **{name: _whole(report.get(name)) for name in ("samples", "drivers", "objects", "estimated_memory_bytes")},
        **{name: _texts(report.get(name)) for name in ("missing_files", "libraries", "scripts", "warnings")},
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= WHOLE_LIMIT else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= WHOLE_LIMIT else None
