"""Train every member of a config: architectures x seeds x folds."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path

import filelock
import joblib
import numpy as np

from digits import backend, data, models, progress, runs
from digits.atomic import replacing
from digits.config import Config
from digits.data import Dataset, Rows
from digits.errors import UserError
from digits.runs import Member, Run
from digits.seeds import as_int, derive

logger = logging.getLogger(__name__)

CHECKPOINT = ".checkpoint.npz"


def run(config: Config, dataset: Dataset, run: Run, workers: int | None = None) -> None:
    """Train the members that are not there yet, then draw the training history.

    Args:
        config: what to train.
        dataset: what to train on.
        run: where the members go; the caller holds its lock.
        workers: members at a time; by default as many as the machine has GPUs, or room for on its cores.
    """
    run.claim(config, dataset)
    folds = data.assign(dataset.train_images, dataset.train_labels, config.folds.count, config.seed)
    members = runs.members(config)
    missing = [member for member in members if not _is_trained(run, member)]
    if len(missing) < len(members):
        print(f"{len(members) - len(missing)} of {len(members)} members are trained already", flush=True)
    gpus = _count_gpus()
    if gpus and workers and workers > gpus:
        raise UserError(f"{workers} workers, but {gpus} GPUs here; give WORKERS={gpus} or fewer")
    workers = workers or gpus or joblib.cpu_count() // config.training.threads
    workers = max(1, min(workers, len(missing)))
    rows = Rows(dataset.train_images, np.searchsorted(dataset.classes, dataset.train_labels).astype(np.int32))
    jobs = [
        joblib.delayed(_train_member)(
            config,
            member,
            run,
            rows,
            folds,
            dataset.test_images,
            place=f"{members.index(member) + 1}/{len(members)}",
            to_come=(len(missing) - number - 1) / workers,
            live=workers == 1 and progress.is_terminal(),
            gpus=gpus if workers > 1 else 0,
        )
        for number, member in enumerate(missing)
    ]
    joblib.Parallel(n_jobs=workers)(jobs)
    _draw_history(config, run)


def _is_trained(run: Run, member: Member) -> bool:
    folder = run.member(member)
    if not folder.exists():
        return False
    if runs.is_whole(folder):
        return True
    logger.warning("member %s is damaged and is trained anew", member.name)
    return False


def _train_member(
    config: Config,
    member: Member,
    run: Run,
    rows: Rows,
    folds: np.ndarray,
    test_images: np.ndarray,
    *,
    place: str,
    to_come: float,
    live: bool,
    gpus: int,
) -> None:
    """Train one member in this process and leave its folder complete."""
    if gpus:
        _claim_gpu(run.folder, gpus)
    backend.start(config.training.threads)
    import keras

    from digits import training

    keras.backend.clear_session()
    seed = derive(config.seed, "member", member.architecture, member.seed, member.fold)
    architecture = next(a for a in config.architectures if a.label == member.architecture)
    precision = backend.resolve_precision(config.training.precision)
    side, classes = test_images.shape[1], int(rows.targets.max()) + 1
    model = models.build(architecture, side, classes, precision, as_int(derive(seed, "weights")))
    predict = training.predictor(model)
    held_out = np.flatnonzero(folds == member.fold)
    checkpoint = run.unfinished(member) / CHECKPOINT
    title = f"{member.name} [{place}]"
    with progress.EpochLines(title, config.training.epochs, to_come, live) as report:
        history = training.fit(
            model,
            predict,
            rows.take(np.flatnonzero(folds != member.fold)),
            rows.take(held_out),
            config.training,
            config.augmentation,
            derive(seed, "training"),
            checkpoint,
            report,
        )
    folder = run.unfinished(member)
    _write_history(folder / "history.csv", history, training.HISTORY)
    with replacing(folder / "model.keras") as temporary:
        model.save(temporary)
    logits, features = training.predict_with(predict, rows.images[held_out], config.tta)
    runs.write_arrays(folder / "oof.npz", rows=held_out, logits=logits, features=features)
    logits, features = training.predict_with(predict, test_images, config.tta)
    runs.write_arrays(folder / "test.npz", logits=logits, features=features)
    seconds = float(history[:, training.HISTORY.index("seconds")].sum())
    runs.seal(folder, {"precision": precision, "seconds": seconds, "versions": runs.versions()})
    runs.publish(folder, run.member(member))
    (run.member(member) / CHECKPOINT).unlink()  # last: a kill before this line costs no training


def _write_history(path: Path, history: np.ndarray, names: tuple[str, ...]) -> None:
    with replacing(path) as temporary:
        np.savetxt(temporary, history, fmt="%.6g", delimiter=",", header=",".join(names), comments="")


def _draw_history(config: Config, run: Run) -> None:
    from digits import figures

    histories = {
        member.name: np.genfromtxt(run.member(member) / "history.csv", delimiter=",", names=True, ndmin=1)
        for member in runs.members(config)
    }
    with replacing(run.folder / "history.png") as temporary:
        figures.training_history(histories).savefig(temporary)


def _count_gpus() -> int:
    """NVIDIA GPUs that this process may use; without asking TensorFlow, which would take them all."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


@functools.cache
def _claim_gpu(folder: Path, gpus: int) -> filelock.BaseFileLock:
    """Show this worker process the first GPU that no other worker holds; the cache keeps the lock."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(number) for number in range(gpus)]
    for device in devices:
        lock = filelock.FileLock(folder / f".gpu-{device}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            continue
        os.environ["CUDA_VISIBLE_DEVICES"] = device
        return lock
    raise RuntimeError(f"{gpus} GPUs and more workers than that")
