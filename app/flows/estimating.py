"""An estimate with a probe of its scene: nodes get a moment for that, and what they find is in the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.core import render_probes, scene_estimates
from app.core.render_probes import Probe
from app.core.scene_estimates import SceneEstimate, Terms, Wanted
from app.db import Database

WAITS = (render_probes.ORDERED, render_probes.UNDER_WAY)


class Signals(Protocol):
    def wait(self, key: str, seconds: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class ProbeLimits:
    """Scenes that an account may have probed in a day, and how long an answer waits for one."""

    most_a_day: int
    wait_seconds: float


def estimate_probed(
    database: Database, signals: Signals, terms: Terms, limits: ProbeLimits, wanted: Wanted
) -> tuple[SceneEstimate, str]:
    """The estimate, and what became of the probe (`render_probes`): one that is not done by then goes on, and whoever asks again
    finds it. Refusals are those of `scene_estimates.for_scene` and `render_probes.order`."""
    with database.unit_of_work() as session:
        found = scene_estimates.for_scene(session, terms, wanted)
        frame = wanted.frames.frames[len(wanted.frames) // 2]
        probe = render_probes.order(session, wanted.account_id, found.scene, found.settings, frame, limits.most_a_day)
    if probe.status not in WAITS or not _wait(signals, probe, found.scene.sha256, limits.wait_seconds):
        return found, probe.status
    with database.unit_of_work() as session:
        return scene_estimates.for_scene(session, terms, wanted), render_probes.state(session, found.scene.sha256)


def _wait(signals: Signals, probe: Probe, sha256: str, seconds: float) -> bool:
    """For every small frame of it, while somebody is there to render them. Whether one came."""
    frames: Sequence[int] = render_probes.SAMPLES if probe.rung else ()
    return seconds > 0 and any([signals.wait(render_probes.signal_key(sha256), seconds) for _ in frames])
