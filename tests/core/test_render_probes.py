"""Probes: two small free frames make an estimate of a scene that nobody has rendered, and they are bounded."""

import uuid

import pytest

from app.config import Settings
from app.core import render_probes, scene_estimates
from app.core.render_probes import Probe
from app.core.scene_estimates import SceneEstimate, Wanted
from app.db import Database
from app.flows import retention
from app.models.jobs import Job, Scene
from app.models.ledger import Transfer
from app.values import frames
from app.values.rates import read_table
from app.values.render_settings import Limits
from tests.core.test_estimates import TERMS
from tests.factories.render_market import Renders
from tests.factories.task_market import moving_clock

ESTIMATES = scene_estimates.Terms(TERMS, read_table(Settings().rates), Limits(10**8, 65_536))
HEAVY = {"width": 1920, "height": 1080, "samples": 320, "engine": "cycles", "camera": None}


class Prober(Renders):
    """An agent with scenes that no node has rendered yet."""

    def scene(self) -> Scene:
        with self.database.unit_of_work() as session:
            file = {"size_bytes": 9, "storage_key": "s", "file_name": "a.blend", "format": ".blend", "facts": {}, "report": {}}
            made = Scene(id=uuid.uuid4(), account_id=self.account_id, sha256=uuid.uuid4().hex * 2, **file)
            session.add(made)
        return made

    def probe(self, scene: Scene, most_a_day: int = 9) -> Probe:
        with self.database.unit_of_work() as session:
            return render_probes.order(session, self.account_id, scene, HEAVY, 7, most_a_day)

    def estimate(self, scene: Scene) -> SceneEstimate:
        with self.database.unit_of_work() as session:
            wanted = Wanted(self.account_id, scene.id, frames.parse("1-10", 100), HEAVY, "RENDER")
            return scene_estimates.for_scene(session, ESTIMATES, wanted)

    def state(self, scene: Scene) -> str:
        with self.database.unit_of_work() as session:
            return render_probes.state(session, scene.sha256)


class Files:
    """A file store that notes what is deleted."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def delete(self, key: str) -> None:
        self.deleted.append(key)


@pytest.fixture
def prober(database: Database) -> Prober:
    return Prober(database)


def test_two_small_frames_tell_what_a_large_one_takes(prober: Prober) -> None:
    with moving_clock() as hours:
        node, scene = prober.node(), prober.scene()
        prober.place(2)
        assert (prober.probe(scene).status, prober.probe(scene).status) == ("ordered", "under_way")
        seen = set()
        for _ in range(2):
            [taken] = prober.claim(node)  # before what is paid for
            settings = taken.job.settings
            seen.add((settings["samples"], settings["width"], settings["height"], taken.frame))
            hours.wait(5 + settings["samples"] / 32)  # five seconds of any frame, and a second for what 32 samples take
            assert prober.complete([taken]) == 1
        assert seen == {(4, 192, 108, 7), (32, 192, 108, 7)}
        found = prober.estimate(scene)
        assert (prober.state(scene), prober.probe(scene).status) == ("done", "not_needed")
    offer = found.offers[0].estimate
    assert (offer.basis, offer.frame_seconds) == ("probed", pytest.approx(5 + 1000, rel=1e-3))
    assert offer.bound.minor >= 2.9 * offer.expected.minor
    with prober.database.unit_of_work() as session:
        assert session.query(Transfer).filter(Transfer.job_id == taken.job.id).count() == 0
    files = Files()
    retention.delete_probe(prober.database, files, taken.job.id)
    assert files.deleted == ["key"]


def test_probes_are_bounded_by_account_and_all_together(prober: Prober) -> None:
    with moving_clock() as hours:
        scenes = [prober.scene() for _ in range(6)]
        assert [prober.probe(scene, 2).status for scene in scenes[:3]] == ["ordered", "ordered", "limit_reached"]
        assert [prober.probe(scene).status for scene in scenes[3:]] == ["ordered", "ordered", "busy"]
        hours.wait(render_probes.STALE_SECONDS + 1)
        with prober.database.unit_of_work() as session:
            assert render_probes.drop_stale(session) == 2 * 4  # nobody came for them
            assert render_probes.drop_stale(session) == 0
        assert prober.state(scenes[0]) == "failed"
        assert prober.probe(scenes[5]).status == "ordered"
        hours.wait(render_probes.DAY_SECONDS)
        assert prober.probe(scenes[2], 2).status == "ordered"
    with prober.database.unit_of_work() as session:
        assert {job.account_id for job in session.query(Job).filter_by(dialect="hub")} == {None}


def test_a_probe_that_every_node_fails_at_costs_nobody_anything(prober: Prober) -> None:
    with moving_clock():
        nodes, scene = [prober.node() for _ in range(3)], prober.scene()
        assert prober.probe(scene).status == "ordered"
        for _ in render_probes.SAMPLES:
            for node in nodes:
                [taken] = prober.claim(node)
                prober.node_fails(taken)
        assert prober.state(scene) == "failed"
        assert prober.estimate(scene).offers[0].estimate.basis == "guessed"
    assert prober.balance() == prober.brought
