"""The server itself, over standard input and output: the session's tools in the official SDK's words."""

import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from anyio import to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from app import __version__
from app.errors import LightyardError
from app.mcp.scenes import KINDS
from app.mcp.session import Render, Session
from app.values.render_settings import ENGINES

INSTRUCTIONS = """Renders 3D scenes (Blender files and others) on the GPU nodes of a Lightyard hub.

Usual order: inspect a scene on this machine (it is uploaded and opened by Blender), estimate, render, status until the job is
over, download. A call takes at most 45 s: what is not done by then goes on, so call the tool again. Renders are paid from the
account's balance; where it is too short, topup tells where to pay, for whoever has a wallet: this server has none. Every order
is counted against the session's caps before it is sent, with all that it may cost.
"""
log = logging.getLogger(__name__)

SCENE = f"path of a scene on this machine ({' '.join(KINDS)}; a zip holds one with its files), or the id of one that the hub has"
Scene = Annotated[str, Field(description=SCENE)]
MaybeScene = Annotated[str | None, Field(description=SCENE)]
Prompt = Annotated[str | None, Field(description="a text instead of a scene: a picture for each frame, or with MP4 one video")]
Frames = Annotated[str, Field(description="frames, ranges, steps: 7 or 1-24 or 1,3,5-9:2; negative frames are valid")]
Side = Annotated[int | None, Field(description="pixels; else as in the scene. Of one side alone, the other keeps proportions")]
Samples = Annotated[int | None, Field(description="per pixel; else as in the scene")]
Quality = Annotated[Literal["low", "medium", "high"] | None, Field(description="32, 128, 512 samples, unless samples are given")]
Engine = Annotated[str | None, Field(description=f"{', '.join(ENGINES)}; else the scene's")]
Format = Annotated[Literal["PNG", "JPEG", "EXR", "MP4"] | None, Field(description="PNG if left out; MP4 joins the frames")]
Camera = Annotated[str | None, Field(description="a camera's name; else the scene's active one")]
Fps = Annotated[float | None, Field(description="frames per second of an MP4; else the scene's")]
JobId = Annotated[str, Field(description="a job's id, as render answered it")]
MOST = "never spend more than this on the job, such as 1.25: it pauses and asks"
MostAmount = Annotated[str | float | None, Field(description=MOST)]
Wait = Annotated[float, Field(ge=0, le=45, description="seconds to wait for news before answering")]
MORE = 'further ones: "tiles" ("2x2" or "auto": a heavy still by many nodes), "denoise", "adaptive_sampling" (true, false)'
More = Annotated[dict[str, Any] | None, Field(description=MORE)]
READS = ToolAnnotations(read_only_hint=True)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False)
ENDS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)
Tool = Callable[..., dict[str, Any]]


class Tools:
    """What an agent sees: the docstrings are the tools' descriptions."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def inspect(self, scene: Scene, wait_seconds: Wait = 45) -> dict[str, Any]:
        """Upload a scene (bytes that the hub has from this account are not sent again; an upload that broke off goes on) and tell
        what Blender sees in it: cameras, frame range, engine, resolution, samples, missing files, scripts, memory, warnings.
        Costs nothing. status: uploading, inspecting (call again), ready, or rejected with the reason."""
        return self._session.inspect(scene, wait_seconds)

    def estimate(
        self, scene: MaybeScene = None, frames: Frames = "1", width: Side = None, height: Side = None, samples: Samples = None,
        quality: Quality = None, engine: Engine = None, output_format: Format = None, camera: Camera = None, fps: Fps = None,
        prompt: Prompt = None, settings: More = None,
        probe: Annotated[bool, Field(description="have two small frames rendered first where nothing is known: free")] = False,
    ) -> dict[str, Any]:  # fmt: skip
        """What a render would cost at most (`cost`) and probably (`expected_cost`), and how long it would take, in every tier.
        Orders nothing."""
        found = _given(settings, width, height, samples, quality, engine, output_format, camera, fps)
        return self._session.estimate(Render(scene, frames, found, prompt), probe)

    def render(
        self, scene: MaybeScene = None, frames: Frames = "1", width: Side = None, height: Side = None, samples: Samples = None,
        quality: Quality = None, engine: Engine = None, output_format: Format = None, camera: Camera = None, fps: Fps = None,
        prompt: Prompt = None, settings: More = None,
        tier: Annotated[Literal["priority", "economy"], Field(description="economy is cheaper and waits longer")] = "priority",
        name: Annotated[str, Field(description="what the job is called")] = "",
        max_amount: MostAmount = None,
        dry_run: Annotated[bool, Field(description="say what would be ordered, and order nothing")] = False,
        order_key: Annotated[str | None, Field(description="of an order whose answer was lost: it is not ordered twice")] = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Order a render, paid from the account's balance: what it may cost at most is set aside, finished frames are charged,
        the rest comes back. Refused, with nothing ordered, where it would cross the session's caps. Answers with the job; follow
        it with status."""
        found = _given(settings, width, height, samples, quality, engine, output_format, camera, fps)
        return self._session.render(Render(scene, frames, found, prompt), tier, name, _text(max_amount), dry_run, order_key)

    def status(self, job_id: Annotated[str | None, Field(description="without one: the newest jobs")] = None,
               wait_seconds: Wait = 0) -> dict[str, Any]:  # fmt: skip
        """How a job stands: status, reason, frames by how they stand, current cost. With wait_seconds it answers as soon as
        something changes. A job that paused with MAX_AMOUNT_REACHED goes on by resume with a higher max_amount."""
        return self._session.jobs(20) if job_id is None else self._session.status(job_id, wait_seconds)

    def download(self, job_id: JobId,
                 frames: Annotated[str | None, Field(description="such as 1-10; else all that are finished")] = None,
                 previews: Annotated[bool, Field(description="small, watermarked JPEGs instead of the pictures")] = False,
                 video: Annotated[bool, Field(description="the MP4 of a job that makes one, instead of its frames")] = False,
                 ) -> dict[str, Any]:  # fmt: skip
        """Save finished frames, or the video, to the folder that the user chose, and tell their paths. What is there already is
        not fetched again; `left` (frames) and `left_bytes` (of a video) are for the next call."""
        return self._session.download_video(job_id) if video else self._session.download(job_id, frames, previews)

    def pause(self, job_id: JobId) -> dict[str, Any]:
        """Hand out no more frames of a job; those under way are finished and charged."""
        return self._session.pause(job_id)

    def resume(self, job_id: JobId, max_amount: MostAmount = None) -> dict[str, Any]:
        """Go on with a paused job, with a higher max_amount where it paused for that. Counted against the session's caps."""
        return self._session.resume(job_id, _text(max_amount))

    def cancel(self, job_id: JobId) -> dict[str, Any]:
        """Call a job off for good: finished frames are kept and charged, the rest of the money comes back."""
        return self._session.cancel(job_id)

    def balance(self) -> dict[str, Any]:
        """What the account has to spend, by asset, what is set aside for jobs, and how the session's caps stand."""
        return self._session.balance()

    def topup(
        self, amount: Annotated[str | float | None, Field(description="how much to ask for, such as 2.5")] = None,
        topup_id: Annotated[str | None, Field(description="instead of an amount: how a top-up stands that was asked for")] = None,
        tx_signature: Annotated[str | None, Field(description="with topup_id: the Solana transaction that pays it")] = None,
        redeem: Annotated[bool, Field(description="with topup_id: turn the RENDER that came into credits, for good")] = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Ask where to pay money onto the account's balance: address, memo, amount. Whoever has a wallet pays it, this server has
        none. Then, with topup_id, see whether it has come."""
        return self._session.topup(_text(amount), topup_id, tx_signature, redeem)


HINTS = {
    "inspect": ADDS, "estimate": ADDS, "render": ADDS, "status": READS, "download": ADDS, "pause": ADDS, "resume": ADDS,
    "cancel": ENDS, "balance": READS, "topup": ADDS,
}  # fmt: skip


def make(session: Session) -> MCPServer[Any]:
    """The server with its tools. It logs to standard error, warnings and worse."""
    caps, tools = session.purse.told(), Tools(session)
    terms = f"It may spend {caps['session_cap']} {caps['asset']} in this session, and {caps['job_cap']} on a job."
    dry = " This is a dry run: nothing is ordered or changed." if session.is_dry else ""
    instructions = INSTRUCTIONS + terms + dry
    server: MCPServer[Any] = MCPServer("lightyard", instructions=instructions, version=__version__, log_level="WARNING")
    for name, hints in HINTS.items():
        server.add_tool(_told(getattr(tools, name)), name=name, annotations=hints)
    return server


def _told(tool: Tool) -> Callable[..., Coroutine[Any, Any, dict[str, Any]]]:
    """A tool in a thread of its own, which nobody waits for once its caller has gone. Refusals, files that can't be read or
    written, and answers that are none of a hub's come as the tool's error, which says what to do."""

    @functools.wraps(tool)
    async def telling(**arguments: Any) -> dict[str, Any]:
        try:
            return await to_thread.run_sync(functools.partial(tool, **arguments), abandon_on_cancel=True)
        except LightyardError as error:
            raise ToolError(f"{error.code}: {error.message}") from error
        except OSError as error:
            raise ToolError(f"{error.filename or 'a file'}: {error.strerror or error}") from error
        except Exception as error:
            log.exception("the tool %s broke off", tool.__name__)
            said = f"{type(error).__name__}: what was asked for, or the hub's answer, is not as this version knows it"
            raise ToolError(f"{said}. What may have been ordered stays counted; see status, and the server's log") from error

    return telling


def _text(amount: str | float | None) -> str | None:
    return None if amount is None else str(amount)


def _given(
    more: dict[str, Any] | None, width: int | None, height: int | None, samples: int | None, quality: str | None,
    engine: str | None, output_format: str | None, camera: str | None, fps: float | None,
) -> dict[str, Any]:  # fmt: skip
    """Settings as RNP-019 names them, without what is left to the scene."""
    said = {"width": width, "height": height, "samples": samples, "quality": quality, "engine": engine,
            "output_format": output_format, "camera": camera, "fps": fps}  # fmt: skip
    return {**(more or {}), **{name: value for name, value in said.items() if value is not None}}
