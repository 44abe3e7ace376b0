"""What the project does on an NVIDIA GPU: its self-check, the speed of every net, and its recipes, in ten minutes.

    python tests/tools/gpu_proof.py --data digit-recognizer.zip --out proof --wheels wheels --minutes 9

Needs a Python with JAX for CUDA and no TensorFlow; packages that it lacks are installed from the folder of wheels
(`pip download --no-deps -d wheels keras namex optree albumentations albucore stringzilla simsimd pydantic pydantic-core
annotated-types typing-inspection`). Everything is written as it goes: `speed.json`, `log.txt`, and of each recipe
`<config>.json` (its metrics), `<config>-oof.npz` and `<config>-test.npz` (its probabilities).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHAPE = (28, 28, 1)
AT_A_TIME = (1, 2, 4, 8)
SPEED_SHARE = 0.45  # of the time that measuring speeds may take
SECONDS = 3.0  # of training steps in each measurement
NETS = {
    "default": ("default", {"dropout": 0.3}, 128),
    "full_resolution": ("full_resolution", {}, 64),
    "strided": ("strided", {}, 128),
    "wide": ("default", {"dropout": 0.3, "width": 1.5}, 128),
    "poolfree": ("poolfree", {}, 64),
    "deep": ("deep", {}, 128),
    "small": ("small", {}, 128),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--backend", default="jax")
    parser.add_argument("--nets", nargs="*", choices=NETS, default=list(NETS))
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(work, arguments.wheels, arguments.backend)
        speeds_end = time.monotonic() + SPEED_SHARE * 60 * arguments.minutes
        measure_speeds(arguments.out, arguments.nets, speeds_end)
        for config in ("best", "fast", "default"):
            train(config, arguments.data, arguments.out, work, ends)


def prepare(work: Path, wheels: Path | None, backend: str) -> None:
    """Install the wheels, and let this process and all that follow find them and the project."""
    site = work / "site"
    if wheels:
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--upgrade"]
        subprocess.run([*command, "--target", str(site), *map(str, wheels.glob("*.whl"))], check=True)
    paths = [str(ROOT / "src"), str(site)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    sys.path[:0] = paths
    os.environ.update(KERAS_BACKEND=backend, PYTHONUNBUFFERED="1", JAX_COMPILATION_CACHE_DIR=str(work / "xla"))


def measure_speeds(out: Path, nets: list[str], ends: float) -> None:
    """Images a second of every net with one to eight members at a time on the first GPU; begins none after `ends`."""
    import numpy as np

    from digits import config
    from digits.data import Rows
    from digits.training import backend
    from digits.workers import gpus, local, self_check, warm_up

    settings = config.load(ROOT / "configs/default.yaml")
    began = time.monotonic()
    way = self_check.find_way(settings, SHAPE, 10)
    count = gpus.count()
    results = {
        "versions": backend.versions(),
        "gpus": count,
        "way": way.name,
        "self_check_seconds": time.monotonic() - began,
        "speed": {},
    }
    os.environ.update(way.environment)
    settings = way.settings(settings)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (12_800, *SHAPE)).astype(np.uint8)
    rows = Rows(images, np.resize(np.arange(10), len(images)).astype(np.int32), 10)
    with local.processes(max(AT_A_TIME), out, count) as pool:
        for name in nets:
            net, options, batch = NETS[name]
            architecture = config.Architecture(net=net, options=options)
            recipe = settings.with_training(batch_size=batch, epochs=100)
            own = results["speed"].setdefault(name, {"batch": batch})
            question = ([architecture], SHAPE, 10, settings.training.threads)
            ((_, macs),) = pool.submit(warm_up.count_macs, [("count", question)])
            own["macs"] = macs[architecture.label]
            for workers in AT_A_TIME:
                if time.monotonic() > ends:
                    break
                job = (architecture, recipe, rows, SECONDS)
                jobs = [(f"{number}", job) for number in range(workers)]
                speeds = [speed for _, (_, speed) in pool.submit(warm_up.measure, jobs) if speed]
                own[str(workers)] = {
                    "images_per_second": float(sum(speed.images for speed in speeds)),
                    "start_seconds": max((speed.start for speed in speeds), default=None),
                    "failed": workers - len(speeds),
                }
                print(f"{name}, {workers} at a time: {own[str(workers)]}", flush=True)
                (out / "speed.json").write_text(json.dumps(results, indent=2))


def train(config: str, data: str, out: Path, work: Path, ends: float) -> None:
    """Train a recipe, as many of its members as fit until `ends`, and keep its metrics and probabilities."""
    hours = (ends - time.monotonic()) / 3600
    if hours <= 0:
        return
    command = [sys.executable, "-m", "digits", "submit", "--data", data, "--config", f"configs/{config}.yaml"]
    began = time.monotonic()
    with (out / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [*command, "--hours", f"{hours:.4f}", "--output", str(work / "runs")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in process.stdout:
            print(line, end="", flush=True)
            log.write(line)
            log.flush()
        process.wait()
    print(f"{config}: status {process.returncode} after {time.monotonic() - began:.0f} s", flush=True)
    run = work / "runs" / config
    for name, kept in {"metrics.json": ".json", "oof.npz": "-oof.npz", "test.npz": "-test.npz"}.items():
        if (run / name).exists():
            shutil.copyfile(run / name, out / f"{config}{kept}")


if __name__ == "__main__":
    main()
