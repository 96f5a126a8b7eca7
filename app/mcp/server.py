"""The server itself, over standard input and output: the session's tools in the official SDK's words."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal, TypeAlias

from anyio import from_thread, to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from app import __version__
from app.errors import LightyardError
from app.mcp.listener import Listener
from app.mcp.scenes import KINDS
from app.mcp.session import CALL_SECONDS, WAIT_SECONDS_MOST, Render, Session
from app.values.render_settings import ENGINES

INSTRUCTIONS = """Renders 3D scenes (Blender files and others) on the GPU nodes of a Lightyard hub.

Usual order: inspect a scene on this machine (it is uploaded and opened by Blender), estimate, render, wait until the job is
over, download. A call waits at most 45 s, unless wait is asked for more: what is not done by then goes on, so call the tool
again. Renders are paid from the account's balance; where it is too short, topup tells where to pay, for whoever has a wallet:
this server has none. Every order is counted against the session's caps before it is sent, with all that it may cost.
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
Wait = Annotated[float, Field(ge=0, le=CALL_SECONDS, description="seconds to wait for news before answering")]
LONGER = f"at most. Many clients give up on a call after 60 s: more, up to {WAIT_SECONDS_MOST:.0f}, is for those that do not"
Timeout = Annotated[float, Field(ge=0, le=WAIT_SECONDS_MOST, description=LONGER)]
Asked: TypeAlias = Context[Any, Any]
TELL_SECONDS = 0.2
MORE = 'further ones: "tiles" ("2x2" or "auto": a heavy still by many nodes), "denoise", "adaptive_sampling" (true, false)'
More = Annotated[dict[str, Any] | None, Field(description=MORE)]
READS = ToolAnnotations(read_only_hint=True)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False)
ENDS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)
Tool = Callable[..., dict[str, Any]]


class Gone(Exception):
    """Whoever called has given up: nobody reads an answer."""


class Caller(Listener):
    """Who called a tool, and hears of its progress where they asked for that; a call that they gave up ends in its thread."""

    def __init__(self, context: Asked) -> None:
        self._context, self._done, self._next_at = context, -1.0, 0.0
        self.gone = threading.Event()

    def hear(self, done: float, total: float, message: str) -> None:
        """The protocol wants each notice to be further on than the last, and not too many: what is between is left out."""
        self.assert_there()
        now = time.monotonic()
        if done > self._done and (now >= self._next_at or done >= total):
            self._done, self._next_at = done, now + TELL_SECONDS
            from_thread.run(self._context.report_progress, done, total, message)

    def assert_there(self) -> None:
        if self.gone.is_set():
            raise Gone


class Tools:
    """What an agent sees: the docstrings are the tools' descriptions."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def inspect(self, caller: Caller, scene: Scene, wait_seconds: Wait = 45) -> dict[str, Any]:
        """Upload a scene (bytes that the hub has from this account are not sent again; an upload that broke off goes on) and tell
        what Blender sees in it: cameras, frame range, engine, resolution, samples, missing files, scripts, memory, warnings.
        Costs nothing. status: uploading, inspecting (call again), ready, or rejected with the reason."""
        return self._session.inspect(scene, wait_seconds, caller)

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
        the rest comes back. Refused, with nothing ordered, where it would cross the session's caps. Answers with the job: then
        wait."""
        found = _given(settings, width, height, samples, quality, engine, output_format, camera, fps)
        return self._session.render(Render(scene, frames, found, prompt), tier, name, _text(max_amount), dry_run, order_key)

    def status(self, caller: Caller, job_id: Annotated[str | None, Field(description="without one: the newest jobs")] = None,
               wait_seconds: Wait = 0) -> dict[str, Any]:  # fmt: skip
        """How a job stands: status, reason, frames by how they stand, current cost, and in `note` what to do. With wait_seconds
        it answers as soon as something changes."""
        return self._session.jobs(20) if job_id is None else self._session.status(job_id, wait_seconds, caller)

    def wait(self, caller: Caller, job_id: JobId, timeout_seconds: Timeout = CALL_SECONDS) -> dict[str, Any]:
        """Wait for a job: answers as status does once it is over or paused, or when the time is up (then call it again), and
        tells of its progress meanwhile. Changes and costs nothing. A job that paused with MAX_AMOUNT_REACHED goes on by resume
        with a higher max_amount."""
        return self._session.wait(job_id, timeout_seconds, caller)

    def download(self, caller: Caller, job_id: JobId,
                 frames: Annotated[str | None, Field(description="such as 1-10; else all that are finished")] = None,
                 previews: Annotated[bool, Field(description="small, watermarked JPEGs instead of the pictures")] = False,
                 video: Annotated[bool, Field(description="the MP4 of a job that makes one, instead of its frames")] = False,
                 ) -> dict[str, Any]:  # fmt: skip
        """Save finished frames, or the video, to the folder that the user chose, and tell their paths. What is there already is
        not fetched again; `left` (frames) and `left_bytes` (of a video) are for the next call."""
        return self._session.download_video(job_id, caller) if video else self._session.download(job_id, frames, previews, caller)

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
    "inspect": ADDS, "estimate": ADDS, "render": ADDS, "status": READS, "wait": READS, "download": ADDS, "pause": ADDS,
    "resume": ADDS, "cancel": ENDS, "balance": READS, "topup": ADDS,
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
        caller = Caller(arguments["caller"]) if "caller" in arguments else None
        arguments |= {} if caller is None else {"caller": caller}
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
        finally:
            if caller is not None:
                caller.gone.set()

    if "caller" in tool.__annotations__:
        telling.__annotations__ = {**tool.__annotations__, "caller": Asked}  # what the SDK gives, and shows to no agent
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
