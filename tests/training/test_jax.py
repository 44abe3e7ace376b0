"""JAX in an environment without TensorFlow, and networks that one backend wrote and the other reads.

`make test` also runs tests/test_training.py and tests/models on JAX.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command import complain, start, succeed
from digits.data.demo import demo
from digits.files import arrays

pytestmark = pytest.mark.slow

NETS = ("default", "poolfree")
SHORT = ("--data", "demo", "--set", "folds.count=2", "--set", "architectures=[small]", "--set", "training.epochs=6")
WITHOUT_TENSORFLOW = {"KERAS_BACKEND": "jax", "HIDDEN": "tensorflow"}
WRITE_AND_READ = """
import sys
from pathlib import Path
import numpy as np
from digits import models
from digits.config import Architecture
from digits.training import backend
backend.start(1)
from digits.training import loop

folder, other = Path(sys.argv[1]), Path(sys.argv[2])
draw = np.random.default_rng(0)
images = draw.integers(0, 256, (20, 28, 28, 1)).astype(np.uint8)
for net in sys.argv[3:]:
    options = {"channels": 8, "squeeze": 4} if net == "full_resolution" else {}
    model = models.build(Architecture(net=net, options=options), (28, 28, 1), 10, "float32", seed=1)
    model.set_weights([weight * draw.uniform(0.8, 1.2, weight.shape) for weight in model.get_weights()])
    model.save(folder / f"{net}.keras")
    written = loop.predictor(model)(images)
    np.savez(folder / f"{net}.npz", logits=written[0], features=written[1])
    if (other / f"{net}.keras").exists():
        read = loop.predictor(models.load(other / f"{net}.keras"))(images)
        np.savez(folder / f"{net}-read.npz", logits=read[0], features=read[1])
"""


@pytest.fixture
def environment(monkeypatch):
    for name, value in WITHOUT_TENSORFLOW.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a run that nothing disturbed."""
    output = tmp_path_factory.mktemp("output")
    succeed("submit", *SHORT, "--run", "whole", "--output", output, env=os.environ | WITHOUT_TENSORFLOW)
    return output / "whole"


def test_what_one_backend_wrote_the_other_reads_to_the_same_predictions(tmp_path):
    folders = {name: tmp_path / name for name in ("jax", "tensorflow", "again")}
    for folder in folders.values():
        folder.mkdir()
    for backend, folder, other in (
        ("jax", "jax", "again"),
        ("tensorflow", "tensorflow", "jax"),
        ("jax", "again", "tensorflow"),
    ):
        command = [sys.executable, "-c", WRITE_AND_READ, folders[folder], folders[other], *NETS]
        subprocess.run(command, env=os.environ | {"KERAS_BACKEND": backend}, check=True, capture_output=True)
    for reader, writer in (("tensorflow", "jax"), ("again", "tensorflow")):
        for net in NETS:
            read = arrays.read(folders[reader] / f"{net}-read.npz")
            written = arrays.read(folders[writer] / f"{net}.npz")
            for name in ("logits", "features"):
                np.testing.assert_allclose(read[name], written[name], rtol=1e-4, atol=1e-4)


def test_killed_without_tensorflow_it_goes_on_to_the_same_bytes(whole, tmp_path, environment):
    arguments = ["submit", *SHORT, "--run", "killed", "--output", tmp_path]
    process = start(*arguments, start_new_session=True)
    for line in process.stdout:
        if "epoch 2/6" in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    succeed(*arguments)
    for name in ("submission.csv", "oof.npz", "test.npz"):
        assert (tmp_path / "killed" / name).read_bytes() == (whole / name).read_bytes()


def test_every_stage_after_training_does_without_tensorflow(whole, tmp_path, environment):
    output = ("--data", "demo", "--output", whole.parent, "--run", "whole")
    assert "true score" in succeed("submit", *SHORT, *output)
    succeed("evaluate", *output)
    succeed("cluster", *output, "--set", "cluster.maps=[]")
    succeed("report", *output)
    pixels = ",".join(f"pixel{number}" for number in range(28 * 28))
    np.savetxt(tmp_path / "a.csv", demo().test_images[:40].reshape(40, -1), "%d", ",", header=pixels, comments="")
    succeed("predict", tmp_path / "a.csv", *output)
    rows = (whole.parent / "predictions/predictions.csv").read_text().splitlines()
    assert len(rows) == 41
    said = complain("export", *output)
    assert said == "error: the export needs TensorFlow: make export RUN=whole, without BACKEND="


def test_a_run_of_jax_is_not_continued_with_tensorflow(whole):
    said = complain("submit", *SHORT, "--run", "whole", "--output", whole.parent)
    assert "backend (jax -> tensorflow)" in said


def test_jax_that_is_not_installed_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("HIDDEN", "jax")
    said = complain("submit", "--data", "demo", "--output", tmp_path)
    assert said == "error: JAX is not installed here; install it: make BACKEND=jax ..."
