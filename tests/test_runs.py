"""The run folder: atomic, locked, and never mixed with another config or other data."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from digits import config, models, runs
from digits.config import Config
from digits.data import Dataset
from digits.data.demo import demo
from digits.ensemble import logits
from digits.errors import UserError
from digits.files import records
from digits.runs import Member, Run, RunFolder
from digits.stages import submit
from digits.training import backend

SMALL = config.parse({"architectures": ["small", "mlp"], "folds": {"count": 3}, "seeds": 2}, "test")
DATA = demo()
EARLIER = Path(__file__).parent / "earlier_run"  # of the version whose rules had a `geometric`, and tuning TensorBoard


def test_members_are_architectures_times_seeds_times_folds():
    names = [member.name for member in runs.members(SMALL)]
    assert len(names) == len(set(names)) == 12
    assert names[:3] == ["small-s0-f0", "small-s0-f1", "small-s0-f2"]
    limited = config.parse({"folds": {"count": 5, "limit": 1}}, "test")
    assert runs.members(limited) == [Member("default", 0, 0), Member("strided", 0, 0)]


def test_a_run_of_an_earlier_version_loads_and_gives_its_submission(tmp_path, caplog):
    folder = RunFolder(shutil.copytree(EARLIER, tmp_path / "earlier"))
    settings = folder.adapted_config([])
    assert "tune.tensorboard is ignored, ensemble.rule geometric is logits" in caplog.text
    assert settings.ensemble.rule == "logits"
    run = Run(folder.folder, settings, DATA)
    backend.start(threads=1)  # as everywhere: the tests of one process share its TensorFlow
    for member in run.members:
        network = models.load(run.verified(member) / "model.keras")
        loaded = logits.load(run, member)
        assert network.output_shape[-1] == loaded.oof.shape[1] == 10
        assert len(loaded.test) == len(DATA.test_images)
        assert len(run.history(member)) == 2
    run.submission.unlink()
    submit.run(run, {})
    assert run.submission.read_bytes() == (EARLIER / "submission.csv").read_bytes()
    run.claim()
    caplog.clear()
    assert folder.recorded_config() == settings
    assert caplog.text == ""


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-700])])
def test_a_damaged_member_is_named(tmp_path, damage):
    run = Run(shutil.copytree(EARLIER, tmp_path / "earlier"), RunFolder(EARLIER).recorded_config(), DATA)
    damage(run.member(run.members[0]) / "oof.npz")
    message = "member mlp-s0-f0 of run .*/earlier is missing or damaged; make it anew: make submit RUN=earlier"
    with pytest.raises(UserError, match=message):
        run.member_arrays(run.members[0], "oof.npz", rows="i1")
    with pytest.raises(UserError, match=message):
        run.verified(run.members[0])


class TestClaim:
    @pytest.fixture
    def run(self, tmp_path) -> Run:
        run = Run(tmp_path / "r", SMALL, DATA)
        run.claim()
        return run

    def claim(self, run: Run, settings: Config = SMALL, dataset: Dataset = DATA) -> None:
        Run(run.folder, settings, dataset).claim()

    def test_records_what_made_the_run(self, run):
        record = json.loads((run.folder / "run.json").read_text())
        assert record["config"]["seeds"] == 2
        assert record["data"]["train"] == DATA.fingerprint
        assert record["versions"]["numpy"] == np.__version__
        assert record["machine"]["cores"] >= 1

    def test_the_same_config_and_data_may_go_on(self, run):
        self.claim(run)

    def test_another_backend_is_refused_and_named(self, run, monkeypatch):
        monkeypatch.setenv("KERAS_BACKEND", "jax")
        with pytest.raises(UserError, match=r"made otherwise: backend \(tensorflow -> jax\); choose another RUN="):
            self.claim(run)

    def test_a_run_of_before_there_were_backends_was_of_tensorflow(self, run):
        record = records.read_json(run.origin)
        del record["backend"]
        records.write_twice(run.origin, record)
        self.claim(run)
        assert records.read_json(run.origin)["backend"] == "tensorflow"

    def test_another_config_is_refused_by_key(self, run):
        other = SMALL.model_copy(update={"seeds": 3})
        with pytest.raises(UserError, match=r"config\.seeds \(2 -> 3\); choose another RUN="):
            self.claim(run, other)

    def test_another_way_to_ensemble_is_welcome(self, run):
        self.claim(run, SMALL.model_copy(update={"ensemble": config.Ensembling(rule="vote")}))

    def test_other_data_is_refused(self, run):
        images = DATA.test_images.copy()
        images[0, 0, 0] ^= 1
        with pytest.raises(UserError, match=r"made otherwise: data\.test"):
            self.claim(run, dataset=dataclasses.replace(DATA, test_images=images))

    def test_a_damaged_record_is_named(self, run):
        for name in ("run.json", ".run.json"):
            (run.folder / name).write_text("{")
        with pytest.raises(UserError, match=r"run\.json: damaged"):
            self.claim(run, Config())

    @pytest.mark.parametrize("damage", [lambda path: path.write_text("{"), lambda path: path.unlink()])
    @pytest.mark.parametrize("name", ["run.json", ".run.json"])
    def test_a_damaged_record_is_mended_from_its_copy(self, run, name, damage):
        whole = (run.folder / name).read_bytes()
        damage(run.folder / name)
        assert run.recorded_config() == SMALL
        with pytest.raises(UserError, match="was made otherwise"):
            self.claim(run, Config())
        self.claim(run)
        assert (run.folder / name).read_bytes() == whole
