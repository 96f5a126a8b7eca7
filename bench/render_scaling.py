"""(o) A render by one node, and by two: frames that are not CPU-bound."""

from collections.abc import Callable
from contextlib import ExitStack

from app.values import clock
from bench import seeding
from bench.agents import Agent
from bench.painters import painter, wait_for_nodes
from bench.report import Part, Series, Verdict, ratio_of_medians
from bench.rounds import Options, take_turns
from bench.stack import BenchStack

FRAMES, FRAME_SECONDS, PATIENCE_SECONDS = 120, 0.25, 300.0
HOW = (
    "A job of {frames} frames, ordered through RNP-019 with credits, from the order until its status says completed. The nodes "
    "are gpu_node's own (Celery worker, claims, uploads, leases); instead of rendering each waits {seconds:g} s a frame, as "
    "for a GPU, and paints a small picture. The whole stack is on the same cores, and the nodes share them."
)


def measure(options: Options) -> Part:
    frames = options.size(FRAMES, 20)
    part = Part("o", "A render by one node and by two", HOW.format(frames=frames, seconds=FRAME_SECONDS))
    with BenchStack() as stack:
        agent = Agent(stack)

        def side(nodes: int) -> Callable[[], tuple[float, str]]:
            return lambda: _by(stack, agent, nodes, frames)

        found = take_turns("(o) renders", options.turns(3), {"one node": side(1), "two nodes": side(2)})
    one, two = (
        Series(f"{name}, {frames} frames", "s", tuple(seconds for seconds, _ in turns), 1) for name, turns in found.items()
    )
    part.series = [one, two]
    part.verdicts = [Verdict("one node ÷ two nodes", ratio_of_medians(one, two), "≥", 1.8)]
    part.notes = [
        f"The frames alone take one node {frames * FRAME_SECONDS:g} s.",
        f"Frames of each node, turn by turn: {'; '.join(shares for _, shares in found['two nodes'])}.",
    ]
    return part


def _by(stack: BenchStack, agent: Agent, nodes: int, frames: int) -> tuple[float, str]:
    """Seconds of a job by so many nodes, which have joined, and rendered something before; and how many frames each did."""
    began = clock.now()
    with ExitStack() as painters:
        for number in range(nodes):
            painters.enter_context(painter(stack, f"painter-{number}", PAINTING_SECONDS=str(FRAME_SECONDS)))
        wait_for_nodes(stack, nodes, began)
        agent.render(2 * nodes, PATIENCE_SECONDS)
        seconds, job_id = agent.render(frames, PATIENCE_SECONDS)
    return seconds, " + ".join(map(str, seeding.frames_by_node(stack.database, job_id)))
