"""Train every member of a config: architectures x seeds x folds."""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import joblib
import numpy as np

from digits import backend, data, progress, runs
from digits.atomic import replacing
from digits.augment import augment
from digits.config import Config
from digits.data import Dataset, Rows
from digits.errors import UserError
from digits.runs import Member, Run
from digits.seeds import derive

logger = logging.getLogger(__name__)

CHECKPOINT = ".checkpoint.npz"
MARGIN = 1.15  # by which a member may take longer than those before it


@dataclass(frozen=True)
class Job:
    """One member to train, with all that its process needs.

    folds: int64 (n,), of each training row. test_images: uint8 (m, side, side). to_come: members that are
    still to be trained after this one, over the workers that share them. gpus: of the machine, where workers
    share them, else 0. launcher: the process that hands the jobs out.
    """

    config: Config
    run: Run
    member: Member
    rows: Rows
    folds: np.ndarray
    test_images: np.ndarray
    title: str
    to_come: float
    live: bool
    gpus: int
    launcher: int


def run(config: Config, dataset: Dataset, run: Run, workers: int | None = None) -> None:
    """Train the members that are not there yet, then draw the training history.

    Args:
        config: what to train.
        dataset: what to train on.
        run: where the members go; the caller holds its lock.
        workers: members at a time; by default as many as the machine has GPUs, or room for on its cores.
    """
    jobs, workers = _prepare(config, dataset, run, workers)
    joblib.Parallel(n_jobs=workers)(joblib.delayed(_train_member)(job) for job in jobs)
    draw_history(run, runs.members(config))


def run_until(
    config: Config, dataset: Dataset, run: Run, until: float, after: Callable[[Member, str | None], None]
) -> None:
    """Train the missing members one after the other, for as long as the next one will probably end in time.

    A member that fails does not stop the others.

    Args:
        config, dataset, run: as those of `run`.
        until: by `time.monotonic`.
        after: hears of every member as soon as it is trained, or why it is not.
    """
    jobs, workers = _prepare(config, dataset, run, None)
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch=workers, batch_size=1)
    in_time = _in_time(jobs, run, until, workers)
    for member, problem in parallel(joblib.delayed(_try_member)(job) for job in in_time):
        after(member, problem)


def _prepare(config: Config, dataset: Dataset, run: Run, workers: int | None) -> tuple[list[Job], int]:
    """Claim the run; what is left to train in it, and how many at a time."""
    run.claim(config, dataset)
    members = runs.members(config)
    missing = [member for member in members if not is_trained(run, member)]
    if len(missing) < len(members):
        print(f"{len(members) - len(missing)} of {len(members)} members are trained already", flush=True)
    if not missing:
        return [], 1
    _try_augmentation(config, dataset.train_images)
    gpus = _count_gpus()
    workers = min(_at_a_time(workers, gpus, config.training.threads), len(missing))
    return _jobs(config, dataset, run, missing, workers, gpus), workers


def _in_time(jobs: list[Job], run: Run, until: float, workers: int) -> Iterator[Job]:
    """The jobs that will probably end in time, judged when a worker asks for the next one."""
    began: dict[str, float] = {}
    for job in jobs:
        now = time.monotonic()
        trained = [other.member for other in jobs if other.member.name in began and run.member(other.member).exists()]
        alike = [member for member in trained if member.architecture == job.member.architecture] or trained
        longest = max((run.training_seconds(member) for member in alike), default=0.0)
        if alike and now + MARGIN * longest > until:
            left = len(jobs) - len(began)
            print(
                f"No time for {left} of {len(jobs)} members: each takes about {progress.duration(longest)}", flush=True
            )
            return
        if len(began) == workers and alike:
            fit = workers * int((until - now) / (MARGIN * longest))
            left = len(jobs) - len(began)
            print(f"Time for about {min(fit, left)} of the {left} members to come", flush=True)
        began[job.member.name] = now
        yield job


def _try_member(job: Job) -> tuple[Member, str | None]:
    """Train one member; why it failed, where it did."""
    try:
        _train_member(job)
    except Exception as error:  # whatever it is, the other members are worth having
        logger.exception("member %s", job.member.name)
        return job.member, f"{type(error).__name__}: {error}"
    return job.member, None


def _jobs(config: Config, dataset: Dataset, run: Run, missing: list[Member], workers: int, gpus: int) -> list[Job]:
    rows = Rows(dataset.train_images, dataset.targets)
    folds = data.assign(dataset.train_images, dataset.train_labels, config.folds.count, config.seed)
    members = runs.members(config)
    return [
        Job(
            config,
            run,
            member,
            rows,
            folds,
            dataset.test_images,
            title=f"{member.name} [{members.index(member) + 1}/{len(members)}]",
            to_come=(len(missing) - number) / workers,
            live=workers == 1 and progress.is_terminal(),
            gpus=gpus if workers > 1 else 0,
            launcher=os.getpid(),
        )
        for number, member in enumerate(missing, start=1)
    ]


def is_trained(run: Run, member: Member) -> bool:
    """Whether a member stands in the run, whole."""
    folder = run.member(member)
    if not folder.exists():
        return False
    if runs.is_whole(folder):
        (folder / CHECKPOINT).unlink(missing_ok=True)  # of a call that was killed just before it did so
        return True
    logger.warning("member %s is damaged and is trained anew", member.name)
    return False


def _try_augmentation(config: Config, images: np.ndarray) -> None:
    """Draw a few images now, so that a setting the library refuses costs no training."""
    try:
        augment(images[:2], config.augmentation, derive(config.seed, "trial"))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        side = images.shape[1]
        raise UserError(f"augmentation of {side}x{side} images: {' '.join(str(error).split())[:200]}") from error


def _at_a_time(workers: int | None, gpus: int, threads: int) -> int:
    """How many members to train at a time.

    Raises:
        UserError: more workers than GPUs, on a machine that has some.
    """
    if gpus and workers and workers > gpus:
        raise UserError(f"{workers} workers, but {gpus} GPUs here; give WORKERS={gpus} or fewer")
    return workers or gpus or backend.room_for(threads)


def _train_member(job: Job) -> None:
    """Train one member in this process, unless a worker that outlived a kill has just done so."""
    if os.getpid() != job.launcher:  # a worker; its launcher may be gone before it has imported anything
        _end_with(job.launcher)
    with filelock.FileLock(job.run.member_lock(job.member)):
        if not runs.is_whole(job.run.member(job.member)):
            _train(job)


@functools.cache
def _end_with(launcher: int) -> None:
    """End this worker soon after the process that started it: a killed call leaves nobody behind."""

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _train(job: Job) -> None:
    if job.gpus:
        _claim_gpu(job.run.folder, job.gpus)
    config, run, member, rows = job.config, job.run, job.member, job.rows
    backend.start(config.training.threads)
    from digits import training

    held_out = np.flatnonzero(job.folds == member.fold)
    folder = run.unfinished(member)
    with progress.EpochLines(job.title, config.training.epochs, job.to_come, job.live) as report:
        network = training.train(
            next(of for of in config.architectures if of.label == member.architecture),
            config.training,
            config.augmentation,
            int(rows.targets.max()) + 1,
            rows.take(np.flatnonzero(job.folds != member.fold)),
            rows.take(held_out),
            derive(config.seed, "member", member.architecture, member.seed, member.fold),
            folder / CHECKPOINT,
            report,
        )
    _write_history(folder / "history.csv", network.history, training.HISTORY)
    with replacing(folder / "model.keras") as temporary:
        network.model.save(temporary)
    logits, features = training.predict_with(network.predict, rows.images[held_out], config.tta)
    runs.write_arrays(folder / "oof.npz", rows=held_out, logits=logits, features=features)
    logits, features = training.predict_with(network.predict, job.test_images, config.tta)
    runs.write_arrays(folder / "test.npz", logits=logits, features=features)
    seconds = float(network.history[:, training.HISTORY.index("seconds")].sum())
    runs.seal(folder, {"precision": network.precision, "seconds": seconds, "versions": runs.versions()})
    runs.publish(folder, run.member(member))
    (run.member(member) / CHECKPOINT).unlink()  # last: a kill before this line costs no training


def _write_history(path: Path, history: np.ndarray, names: tuple[str, ...]) -> None:
    with replacing(path) as temporary:
        np.savetxt(temporary, history, fmt="%.6g", delimiter=",", header=",".join(names), comments="")


def draw_history(run: Run, members: list[Member]) -> None:
    """Draw how the training of these members went."""
    from digits import figures

    histories = {member.name: run.history(member) for member in members}
    with replacing(run.folder / "history.png") as temporary:
        figures.training_history(histories).savefig(temporary)


def _count_gpus() -> int:
    """NVIDIA GPUs that TensorFlow can use here; asked in a process of its own, which gives them back."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not any(Path("/dev").glob("nvidia[0-9]*")):
        return 0
    question = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[-1])


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
