"""(a) A 120-frame job of light frames through hub and node, against bare Blender."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from bench.report import ROOT, Part, Series, Verdict, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.scenes import NODE_PYTHON, make_scenes
from bench.stack import BenchError, BenchStack
from devnet.payer import Payer

WIDTH, HEIGHT, SAMPLES, FRAMES = 320, 180, 8, 120
JOB_SECONDS, SETTLE_SECONDS = 600.0, 2.0
HOW = (
    f"{FRAMES} frames of the project's turntable.blend, {WIDTH}×{HEIGHT}, {SAMPLES} samples, Cycles on the CPU, on the "
    "same cores. The job: from showing its payment to the hub until the status says completed, every frame rendered "
    "by a real node (sandbox, Celery worker), uploaded, checked and booked, with the whole stack on the same cores. "
    "Bare: one Blender process with the same settings, from its start until the last file is written, the stack held still "
    "with SIGSTOP meanwhile. One process per "
    f"frame: measured on a sample of frames, and reckoned up to {FRAMES}."
)


def measure(options: Options) -> Part:
    frames, sample = options.size(FRAMES, 8), options.size(6, 2)
    part = Part("a", f"A {FRAMES}-frame job of light frames", HOW)
    scene = make_scenes(["turntable"])["turntable"]
    with BenchStack(nodes=1) as stack:
        client = Client(stack, scene)
        client.render(2)  # the node has joined, and its Blender is warm, as it is on a host that works
        sides = {
            "bare Blender": lambda: _alone(stack, lambda: _bare(scene, range(1, frames + 1))),
            "hub and node": lambda: client.render(frames),
            "process per frame": lambda: _alone(stack, lambda: _one_by_one(scene, frames, sample)),
        }
        found = take_turns("(a) rendering", options.turns(2), sides)
    bare, job, single = (Series(f"{name}, {frames} frames", "s", tuple(values), 1) for name, values in found.items())
    part.series = [bare, job, single]
    part.verdicts = [
        Verdict("hub and node ÷ one bare Blender process", ratio_of_medians(job, bare), "≤", 1.15),
        Verdict("one process per frame ÷ hub and node", ratio_of_medians(single, job), "≥", 2.0),
    ]
    part.notes = [
        f"One process per frame: {sample} frames a turn, times {frames / sample:g}.",
        *client.notes,
    ]
    return part


def _alone(stack: BenchStack, measured: Callable[[], float]) -> float:
    """With the whole stack held still, so that the baseline has the machine to itself."""
    stack.pause()
    try:
        return measured()
    finally:
        stack.resume()
        time.sleep(SETTLE_SECONDS)  # the node's next heartbeat is due, and nothing tells that it was heard


def _one_by_one(scene: Path, frames: int, sample: int) -> float:
    """Seconds that a process for every frame would take, from a sample spread over the frames."""
    chosen = [1 + number * frames // sample for number in range(sample)]
    return sum(_bare(scene, [frame]) for frame in chosen) * frames / sample


def _bare(scene: Path, frames: range | list[int]) -> float:
    """Seconds of one Blender process from its start to its last file."""
    with tempfile.TemporaryDirectory(prefix="lightyard-bench-") as folder:
        sizes = [str(value) for value in (WIDTH, HEIGHT, SAMPLES)]
        script = ROOT / "bench" / "bare_blender.py"
        command = [str(NODE_PYTHON), str(script), str(scene), folder, *sizes, *map(str, frames)]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        made = len(list(Path(folder).glob("frame_*.png")))
    if made != len(frames):
        raise BenchError(f"bare Blender wrote {made} of {len(frames)} frames")
    return seconds


class Client:
    """A client of the public API: orders, pays on the local chain, waits, and counts what came."""

    def __init__(self, stack: BenchStack, scene: Path) -> None:
        self._http = httpx.Client(base_url=stack.api_url, timeout=60)
        self._payer = Payer(stack.endpoints["solana_rpc_url"])
        self._payer.airdrop(10**12)
        self._scene = scene
        self.notes: list[str] = []

    def render(self, frames: int) -> float:
        """Seconds from showing a final payment until the job is completed."""
        settings = {"resolution": {"width": WIDTH, "height": HEIGHT}, "samples": SAMPLES, "frames": {"start": 1, "end": frames}}
        form = {"clientWallet": self._payer.address, "settings": json.dumps(settings)}
        quote = self._http.post("/render", data=form, files={"file": ("turntable.blend", self._scene.read_bytes())})
        if quote.status_code != 402:
            raise BenchError(f"the quote was answered {quote.status_code}: {quote.text[:300]}")
        payment = quote.json()["payment"]
        signature = self._payer.pay(payment["payTo"], round(payment["price"] * 10**9), payment["memo"])
        self._payer.wait_final(signature)
        started = time.perf_counter()
        self._http.post("/render/pay", json={"jobId": payment["jobId"], "txSignature": signature}).raise_for_status()
        seconds = self._wait(payment["jobId"], started)
        pictures = self._http.get(f"/render/{payment['jobId']}/result").raise_for_status()
        self.notes = [f"The zip of a job's {frames} pictures has {len(pictures.content):,} bytes."]
        return seconds

    def _wait(self, job_id: str, started: float) -> float:
        while True:
            job = self._http.get(f"/render/{job_id}").raise_for_status().json()["data"]
            seconds = time.perf_counter() - started
            if job["status"] == "completed":
                return seconds
            if job["status"] in ("failed", "cancelled") or seconds > JOB_SECONDS:
                raise BenchError(f"the job is {job['status']} after {seconds:.0f} s: {job.get('error')}")
            time.sleep(0.2)  # clients of this API poll
