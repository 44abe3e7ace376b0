"""Train every member of a config: architectures x seeds x folds."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock
import joblib
import numpy as np

from digits import backend, data, progress, runs
from digits.atomic import replacing
from digits.augment import augment
from digits.config import Config, parse
from digits.data import Dataset, Rows
from digits.errors import UserError
from digits.runs import Member, Run
from digits.seeds import derive

logger = logging.getLogger(__name__)

CHECKPOINT = ".checkpoint.npz"
MARGIN = 1.15  # by which a member may take longer than those before it


@dataclass(frozen=True, eq=False)
class Tables:
    """What all members share: the training rows, the fold of each, int64 (n,), test images uint8 (m, side, side)."""

    rows: Rows
    folds: np.ndarray
    test_images: np.ndarray


@dataclass(frozen=True)
class Job:
    """One member to train. to_come: members that are still to be trained after it, over the workers that share them."""

    config: Config
    member: Member
    title: str
    to_come: float


@dataclass(frozen=True)
class Workplace:
    """Where the workers of this machine put members, and what they share.

    live: they have the terminal. gpus: of the machine, where workers share them, else 0.
    """

    run: Run
    live: bool
    gpus: int


def run(config: Config, dataset: Dataset, run: Run, workers: int | None = None, scheduler: str | None = None) -> None:
    """Train the members that are not there yet, then draw the training history.

    Args:
        config: what to train.
        dataset: what to train on.
        run: where the members go; the caller holds its lock.
        workers: members at a time; by default as many as the machine has GPUs, or room for on its cores.
        scheduler: address of a Dask scheduler, whose workers train instead of this machine.
    """
    missing = _claim(config, dataset, run)
    if missing and scheduler:
        _train_elsewhere(config, dataset, run, missing, scheduler)
    elif missing:
        jobs, tables, here, workers = _prepare(config, dataset, run, missing, workers)
        _parallel(workers)(joblib.delayed(_train_here)(job, tables, here) for job in jobs)
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
    missing = _claim(config, dataset, run)
    if not missing:
        return
    jobs, tables, here, workers = _prepare(config, dataset, run, missing, None)
    parallel = _parallel(workers, return_as="generator_unordered", pre_dispatch=workers, batch_size=1)
    in_time = _in_time(jobs, run, until, workers)
    for member, problem in parallel(joblib.delayed(_try_member)(job, tables, here) for job in in_time):
        after(member, problem)


def _claim(config: Config, dataset: Dataset, run: Run) -> list[Member]:
    """Claim the run; the members that are left to train in it."""
    run.claim(config, dataset)
    members = runs.members(config)
    missing = [member for member in members if not is_trained(run, member)]
    if len(missing) < len(members):
        print(f"{len(members) - len(missing)} of {len(members)} members are trained already", flush=True)
    if missing:
        _try_augmentation(config, dataset.train_images)
    return missing


def _prepare(
    config: Config, dataset: Dataset, run: Run, missing: list[Member], workers: int | None
) -> tuple[list[Job], Tables, Workplace, int]:
    """All that the workers of this machine need, and how many there are to be."""
    gpus = _count_gpus()
    workers = min(_at_a_time(workers, gpus, config.training.threads), len(missing))
    here = Workplace(run, live=workers == 1 and progress.is_terminal(), gpus=gpus if workers > 1 else 0)
    return _jobs(config, missing, workers), _tables(config, dataset), here, workers


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


def _try_member(job: Job, tables: Tables, here: Workplace) -> tuple[Member, str | None]:
    """Train one member; why it failed, where it did."""
    try:
        _train_here(job, tables, here)
    except Exception as error:  # whatever it is, the other members are worth having
        logger.exception("member %s", job.member.name)
        return job.member, f"{type(error).__name__}: {error}"
    return job.member, None


def _jobs(config: Config, missing: list[Member], workers: int) -> list[Job]:
    members = runs.members(config)
    return [
        Job(
            config,
            member,
            title=f"{member.name} [{members.index(member) + 1}/{len(members)}]",
            to_come=(len(missing) - number) / workers,
        )
        for number, member in enumerate(missing, start=1)
    ]


def _tables(config: Config, dataset: Dataset) -> Tables:
    folds = data.assign(dataset.train_images, dataset.train_labels, config.folds.count, config.seed)
    return Tables(Rows(dataset.train_images, dataset.targets), folds, dataset.test_images)


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


def _train_here(job: Job, tables: Tables, here: Workplace) -> None:
    """Train one member in this process, unless a worker that outlived a kill has just done so."""
    with filelock.FileLock(here.run.member_lock(job.member)):
        if runs.is_whole(here.run.member(job.member)):
            return
        if here.gpus:
            _claim_gpu(here.run.folder, here.gpus)
        folder = here.run.unfinished(job.member)
        _train(job, tables, folder, here.live)
        _publish(folder, here.run, job.member)


def _publish(folder: Path, run: Run, member: Member) -> None:
    runs.publish(folder, run.member(member))
    (run.member(member) / CHECKPOINT).unlink(missing_ok=True)  # last: a kill before this line costs no training


def _train_elsewhere(config: Config, dataset: Dataset, run: Run, missing: list[Member], scheduler: str) -> None:
    """Train members on the workers of a Dask cluster, and put each into the run as soon as it is back."""
    from digits import remote

    with remote.connect(scheduler) as client:
        jobs = {job.member.name: job for job in _jobs(config, missing, remote.at_a_time(client))}
        for name, files in remote.run(client, _train_there, jobs, _tables(config, dataset)):
            with filelock.FileLock(run.member_lock(jobs[name].member)):
                _unpack(files, run, jobs[name].member)


def _train_there(job: Job, tables: Tables) -> dict[str, bytes]:
    """Train one member on a worker of a cluster; the content of its files, by name.

    In a process of its own: Keras draws initial weights from random states that are one for all threads of a
    worker, and TensorFlow keeps its number of threads as long as a process lives.
    """
    from digits import remote

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        order = {"config": job.config.model_dump(mode="json"), "member": asdict(job.member)}
        runs.write_json(folder / "job.json", order | {"title": job.title, "to_come": job.to_come})
        rows = {"images": tables.rows.images, "targets": tables.rows.targets}
        runs.write_arrays(folder / "tables.npz", **rows, folds=tables.folds, test_images=tables.test_images)
        remote.follow([sys.executable, "-m", "digits", "train-member", name])
        made = folder / "member"
        return {path.name: path.read_bytes() for path in made.iterdir() if path.name != CHECKPOINT}


def train_member(folder: Path) -> None:
    """What `_train_there` starts: train the member of `job.json` on `tables.npz` into the folder `member`."""
    _end_with(os.getppid())
    order = runs.read_json(folder / "job.json", config=dict, member=dict, title=str, to_come=float)
    settings = parse(order["config"], str(folder))
    arrays = runs.read_arrays(folder / "tables.npz")
    tables = Tables(Rows(arrays["images"], arrays["targets"]), arrays["folds"], arrays["test_images"])
    job = Job(settings, Member(**order["member"]), order["title"], order["to_come"])
    _train(job, tables, folder / "member", live=False)


def _unpack(files: dict[str, bytes], run: Run, member: Member) -> None:
    """Put a member that came over the network into the run, if it is as it was sent."""
    folder = run.unfinished(member)
    shutil.rmtree(folder, ignore_errors=True)  # begun on this machine
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)
    if not runs.is_whole(folder):
        raise UserError(f"member {member.name} came back damaged; the same command trains it anew")
    _publish(folder, run, member)


def _parallel(workers: int, **options: Any) -> joblib.Parallel:
    """Workers that end with this process, also where it is killed before it hands out the first job."""
    return joblib.Parallel(n_jobs=workers, initializer=_end_with, initargs=(os.getpid(),), **options)


def _end_with(launcher: int) -> None:
    """End this worker soon after the process that started it: a killed call leaves nobody behind."""

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _train(job: Job, tables: Tables, folder: Path, live: bool) -> None:
    """Train one member into a folder, and seal it; goes on from the checkpoint there, and leaves it."""
    config, member, rows = job.config, job.member, tables.rows
    backend.start(config.training.threads)
    from digits import training

    held_out = np.flatnonzero(tables.folds == member.fold)
    with progress.EpochLines(job.title, config.training.epochs, job.to_come, live) as report:
        network = training.train(
            next(of for of in config.architectures if of.label == member.architecture),
            config.training,
            config.augmentation,
            int(rows.targets.max()) + 1,
            rows,
            np.flatnonzero(tables.folds != member.fold),
            held_out,
            derive(config.seed, "member", member.architecture, member.seed, member.fold),
            folder / CHECKPOINT,
            report,
        )
    _write_history(folder / "history.csv", network.history, training.HISTORY)
    with replacing(folder / "model.keras") as temporary:
        network.model.save(temporary)
    logits, features = training.predict_with(network.predict, rows.images[held_out], config.tta)
    runs.write_arrays(folder / "oof.npz", rows=held_out, logits=logits, features=features)
    logits, features = training.predict_with(network.predict, tables.test_images, config.tta)
    runs.write_arrays(folder / "test.npz", logits=logits, features=features)
    seconds = float(network.history[:, training.HISTORY.index("seconds")].sum())
    made = {"versions": runs.versions(), "processor": runs.processor()}
    runs.seal(folder, {"precision": network.precision, "seconds": seconds} | made)


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
