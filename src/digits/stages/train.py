"""Train every member of a config: architectures x seeds x folds."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import filelock
import numpy as np

from digits import config as configs
from digits import data, models, progress, runs
from digits.config import Config
from digits.data import Dataset, Rows
from digits.errors import UserError, plain, shown
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.runs import Member, Run
from digits.seeds import derive
from digits.training import backend
from digits.training.augment import augment
from digits.workers import cost, local, messages, self_check, warm_up
from digits.workers import gpus as devices
from digits.workers.cost import Budget, Deadline, Speed, Work

logger = logging.getLogger(__name__)

CHECKPOINT = ".checkpoint.npz"
FAST = Path("configs/fast.yaml")  # the config to suggest where a run takes long ...
LONG = 3600.0  # ... which begins at that many seconds
SMALL = 5e12  # training MACs: less takes a minute or two, and is not worth a warm-up
WARM_UP_SECONDS = 3.0  # of training steps that speeds are measured in, at most ...
WARM_UP_SHARE = 0.02  # ... this share of the time
SHORT = 300.0  # seconds of training on GPUs that are not worth a minute of measuring
OUT_OF_TIME = "the time was over"


@dataclass(frozen=True, eq=False)
class Tables:
    """What all members share: the training rows, the fold of each, int64 (n,), test images uint8 (m, side, side)."""

    rows: Rows
    folds: np.ndarray
    test_images: np.ndarray

    @property
    def form(self) -> tuple[int, int]:
        """Side of the images, and number of classes."""
        return self.rows.images.shape[1], int(self.rows.targets.max()) + 1


@dataclass(frozen=True)
class Job:
    """One member to train.

    pipe: takes its progress; None where standard output does. until: by `time.monotonic`, when it stops.
    """

    config: Config
    member: Member
    pipe: Path | None = None
    until: float = math.inf


@dataclass(frozen=True)
class Outcome:
    """Result of a call. trained: members, in the order of the config. problems: why others failed, by name."""

    trained: list[Member]
    problems: dict[str, str] = field(default_factory=dict)


def run(
    config: Config,
    dataset: Dataset,
    run: Run,
    workers: int | None = None,
    scheduler: str | None = None,
    deadline: Deadline | None = None,
    after: Callable[[list[Member]], None] | None = None,
    patient: bool = False,
) -> Outcome:
    """Train the members that are not trained yet, and draw the training history.

    Args:
        config: what to train.
        dataset: what to train on.
        run: where the members go; the caller holds its lock.
        workers: members at a time; by default as many as the GPUs train fastest, or the cores have room for.
        scheduler: address of a Dask scheduler, whose workers train instead of this machine.
        deadline: members that will probably not end in time are left out.
        after: called after every member, with all that are trained by then.
        patient: a member that fails does not stop the others.

    Raises:
        UserError: not a single member fits into the time.
    """
    run.claim(config, dataset)
    members = runs.members(config)
    missing = [member for member in cost.order(config) if not is_trained(run, member)]
    outcome = Outcome([member for member in members if member not in missing])
    if outcome.trained:
        print(f"{len(outcome.trained)} of {len(members)} members are trained already", flush=True)
    if missing:
        _try_augmentation(config, dataset.train_images)
        deadline = deadline or Deadline(time.monotonic())
        plan = Plan(config, run, _tables(config, dataset), missing, deadline, patient)
        results = _elsewhere(plan, scheduler) if scheduler else _here(plan, workers)
        with contextlib.closing(results):
            for member, problem in results:
                if problem is None:
                    outcome.trained[:] = [of for of in members if of in outcome.trained or of == member]
                    if after:
                        after(outcome.trained)
                elif problem == OUT_OF_TIME:
                    print(f"{member.name} stopped: {problem}; its whole epochs are kept", flush=True)
                else:
                    outcome.problems[member.name] = problem
                    print(f"WARNING: member {member.name} failed, the others continue: {problem}", flush=True)
    if outcome.trained:
        _draw_history(run, outcome.trained)
    return outcome


@dataclass(frozen=True, eq=False)
class Plan:
    """Training that a call is to do. missing: members, in the order of training. patient: as that of `run`."""

    config: Config
    run: Run
    tables: Tables
    missing: list[Member]
    deadline: Deadline
    patient: bool

    def works(self, macs: Mapping[str, int]) -> dict[Member, Work]:
        """Work of every member of the config. macs: forward multiply-adds by architecture."""
        return cost.works(self.config, macs, len(self.tables.folds), len(self.tables.test_images))

    def lines(self, works: Mapping[Member, Work], workers: int) -> progress.TrainingLines:
        """Progress display of the missing members. works: training that is left of each."""
        every, epochs = cost.order(self.config), self.config.training.epochs
        tasks = {
            member.name: progress.Task(
                title=f"{member.name} [{every.index(member) + 1}/{len(every)}]",
                epochs=epochs,
                done=epochs - work.epochs,
                images=work.images,
                macs=float(cost.PASSES * work.macs),
            )
            for member, work in works.items()
        }
        return progress.TrainingLines(tasks, workers, progress.is_terminal(), self.deadline.training_ends)


def is_trained(run: Run, member: Member) -> bool:
    """A member is there, and every file of it is as it was sealed."""
    folder = run.member(member)
    if not folder.exists():
        return False
    if records.is_whole(folder):
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


def _tables(config: Config, dataset: Dataset) -> Tables:
    folds = data.assign(dataset.train_images, dataset.train_labels, config.folds.count, config.seed)
    return Tables(Rows(dataset.train_images, dataset.targets), folds, dataset.test_images)


# --- on this machine ---------------------------------------------------------------------------------------


def _here(plan: Plan, workers: int | None) -> Iterator[tuple[Member, str | None]]:
    """Train members in processes of this machine; each with None once it is trained, else with the reason."""
    plan, gpus = _checked(plan)
    if workers is None:
        workers = _workers_on_gpus(plan, gpus) if gpus else backend.room_for(plan.config.training.threads)
    workers = min(workers, len(plan.missing))
    with local.processes(workers, plan.run.folder, gpus) as submit:
        every = plan.works(_count(submit, plan, plan.config, workers))
        works = {member: _unfinished(plan.run, member, every[member]) for member in plan.missing}
        cost.say_recipe(every, works)
        budget = _budget(submit, plan, works, workers)
        with plan.lines(works, workers) as lines, messages.listen(lines.hear, lines.tick) as pipe:
            train = _try_member if plan.patient else _train_member
            jobs = (Job(plan.config, member, pipe, budget.stops(member)) for member in budget.in_time())
            yield from submit(train, ((job, plan.tables, plan.run) for job in jobs))


def _checked(plan: Plan) -> tuple[Plan, int]:
    """The plan in the way of computing that works on the GPUs of this machine, and their number; 0 for none."""
    gpus = devices.count()
    if not gpus:
        return plan, 0
    way = self_check.find_way(plan.config, *plan.tables.form)
    os.environ.update(way.environment)
    return replace(plan, config=way.settings(plan.config)), 0 if way is self_check.PROCESSOR else gpus


def _workers_on_gpus(plan: Plan, gpus: int) -> int:
    """Members to train at a time on the GPUs, as measured; one each where training is too short to measure."""

    def rate(workers: int) -> float:
        """Forward multiply-adds that all workers together train on in a second; 0 where they do not fit."""
        try:
            with local.processes(workers, plan.run.folder, gpus, apart=True) as submit:
                macs = _count(submit, plan, plan.config, workers)
                measured = _measured(submit, plan, workers)
        except BrokenExecutor:  # out of memory, or the GPU's driver gave up
            measured = [("", None)]
        if not all(speed for _, speed in measured):
            print(f"{cost.networks(workers)} at a time: failed, most likely for too little memory", flush=True)
            return 0.0
        per_second = workers * sum(macs[label] * speed.images for label, speed in measured) / len(measured)
        print(f"{cost.networks(workers)} at a time: {cost.short(per_second)} multiply-adds/s forward", flush=True)
        work = sum(work.macs * work.images * work.epochs for work in plan.works(macs).values())
        return 0.0 if work < SHORT * per_second else per_second

    if plan.deadline.left() < 6 * SHORT:
        return gpus
    return devices.worthwhile(rate, gpus, min(len(plan.missing), backend.room_for(threads=1)))


def _count(submit: local.Submit, plan: Plan, config: Config, workers: int) -> dict[str, int]:
    """Forward multiply-adds of the architectures of a config.

    Every worker counts, so that each has imported its backend when speeds are measured.
    """
    question = (config.architectures, *plan.tables.form, plan.config.training.threads)
    *_, macs = submit(warm_up.count, [question] * workers)
    return macs


def _unfinished(run: Run, member: Member, work: Work) -> Work:
    """Work of a member without the epochs that its checkpoint holds, if it has one."""
    try:
        done = len(arrays.read(run.unfinished(member) / CHECKPOINT)["history"])
    except (ValueError, KeyError, TypeError):  # none, or one that training will refuse too
        return work
    return replace(work, epochs=max(0, work.epochs - done))


def _budget(submit: local.Submit, plan: Plan, works: dict[Member, Work], workers: int) -> Budget:
    """Measure how fast this machine is, and print how long training will take.

    Raises:
        UserError: not a single member fits into the time, and none was trained before.
    """
    damaged = [member for member in works if plan.run.member(member).exists()]

    def took(member: Member) -> float | None:
        if member in damaged or not plan.run.member(member).exists():
            return None
        return float(plan.run.history(member)["seconds"][-works[member].epochs :].mean())

    limited, macs = math.isfinite(plan.deadline.hours), cost.training_macs(works.values())
    speeds = _speeds(submit, plan, workers) if limited or macs >= SMALL else {}
    budget = Budget(works, workers, plan.deadline, speeds, took)
    if speeds and budget.schedule():
        seconds = cost.say_expected(budget)
        if seconds > LONG and not limited:
            _say_faster(submit, plan, macs, seconds)
    elif speeds and len(works) == len(runs.members(plan.config)):
        raise UserError(budget.too_little())
    return budget


def _speeds(submit: local.Submit, plan: Plan, workers: int) -> dict[str, Speed]:
    """Speed of each architecture that is missing; without those whose training fails."""
    return {label: speed for label, speed in _measured(submit, plan, workers) if speed}


def _measured(submit: local.Submit, plan: Plan, workers: int) -> list[tuple[str, Speed | None]]:
    """Label and speed of the architectures that are missing, while all workers are as busy as they will be."""
    missing = {member.architecture for member in plan.missing}
    architectures = [architecture for architecture in plan.config.architectures if architecture.label in missing]
    count = math.ceil(len(architectures) / workers) * workers
    rows, (_, classes) = warm_up.some(plan.tables.rows, plan.config.training), plan.tables.form
    seconds = min(WARM_UP_SECONDS, WARM_UP_SHARE * 3600 * plan.deadline.hours)
    turns = itertools.islice(itertools.cycle(architectures), count)
    return list(
        submit(warm_up.measure, [(architecture, plan.config, rows, classes, seconds) for architecture in turns])
    )


def _say_faster(submit: local.Submit, plan: Plan, macs: float, seconds: float) -> None:
    """Print what would be faster than so many training MACs in so many seconds."""
    faster = "HOURS=1 for as many networks as fit"
    with contextlib.suppress(UserError):  # whatever is wrong with that file, it is not in use
        fast = configs.load(FAST)
        works = replace(plan, config=fast).works(_count(submit, plan, fast, workers=1))
        taken = seconds / macs * cost.training_macs(works.values())
        if fast != plan.config and taken < seconds:
            faster = f"CONFIG={FAST}, about {progress.about(taken)}; or {faster}"
    print(f"Faster: {faster}", flush=True)


def _try_member(job: Job, tables: Tables, run: Run) -> tuple[Member, str | None]:
    """Train one member; the reason where it failed."""
    try:
        return _train_member(job, tables, run)
    except Exception as error:  # whatever it is, the other members are worth having
        logger.exception("member %s", job.member.name)
        return job.member, f"{type(error).__name__}: {shown(str(error))}"


def _train_member(job: Job, tables: Tables, run: Run) -> tuple[Member, str | None]:
    """Train one member in this process, unless a worker that outlived a kill has just done so."""
    with filelock.FileLock(run.member_lock(job.member)):
        if not records.is_whole(run.member(job.member)):
            try:
                _train(job, tables, run.unfinished(job.member))
            except messages.OutOfTime:
                return job.member, OUT_OF_TIME
            except Exception as error:  # a backend's exception may not travel to the process that was started
                line = plain(error)
                if line is None:
                    raise
                raise UserError(line) from error
            _publish(run.unfinished(job.member), run, job.member)
    return job.member, None


def _publish(folder: Path, run: Run, member: Member) -> None:
    records.publish(folder, run.member(member))
    (run.member(member) / CHECKPOINT).unlink(missing_ok=True)  # last: a kill before this line costs no training


# --- on a Dask cluster -------------------------------------------------------------------------------------


def _elsewhere(plan: Plan, scheduler: str) -> Iterator[tuple[Member, str | None]]:
    """Train members on the workers of a Dask cluster, and put each into the run as soon as it is back."""
    from digits.workers import dask as remote

    with remote.connect(scheduler) as client:
        question = (plan.config.architectures, *plan.tables.form, plan.config.training.threads)
        with local.processes(1, plan.run.folder, apart=True) as submit:
            every = plan.works(*submit(warm_up.count, [question]))
        works = {member: every[member] for member in plan.missing}
        cost.say_recipe(every, works)
        jobs = {member.name: Job(plan.config, member) for member in plan.missing}
        workers = remote.at_a_time(client)
        with (
            plan.lines(works, workers) as lines,
            messages.listen(lines.hear, lines.tick) as pipe,
            messages.sender(pipe) as hear,
        ):
            for name, files in remote.run(client, _train_there, jobs, plan.tables, hear):
                member = jobs[name].member
                with filelock.FileLock(plan.run.member_lock(member)):
                    _unpack(files, plan.run, member)
                yield member, None


def _train_there(job: Job, tables: Tables) -> dict[str, bytes]:
    """Train one member on a worker of a cluster; the content of its files, by name.

    In a process of its own: Keras draws initial weights from random states that are one for all threads of a
    worker, and TensorFlow keeps its number of threads as long as a process lives.
    """
    from digits.workers import dask as remote

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        order = {"config": job.config.model_dump(mode="json"), "member": asdict(job.member)}
        records.write_json(folder / "job.json", order)
        rows = {"images": tables.rows.images, "targets": tables.rows.targets}
        arrays.write(folder / "tables.npz", **rows, folds=tables.folds, test_images=tables.test_images)
        remote.follow([sys.executable, "-m", "digits", "train-member", name])
        made = folder / "member"
        return {path.name: path.read_bytes() for path in made.iterdir() if path.name != CHECKPOINT}


def train_member(folder: Path) -> None:
    """Train, for `_train_there`, the member of `job.json` on `tables.npz` into the folder `member`."""
    local.end_with(os.getppid())
    order = records.read_json(folder / "job.json", config=dict, member=dict)
    tables = arrays.read(folder / "tables.npz")
    tables = Tables(Rows(tables["images"], tables["targets"]), tables["folds"], tables["test_images"])
    _train(Job(configs.parse(order["config"], str(folder)), Member(**order["member"])), tables, folder / "member")


def _unpack(files: dict[str, bytes], run: Run, member: Member) -> None:
    """Put a member that came over the network into the run, if it is as it was sent."""
    folder = run.unfinished(member)
    shutil.rmtree(folder, ignore_errors=True)  # begun on this machine
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)
    if not records.is_whole(folder):
        raise UserError(f"member {member.name} came back damaged; the same command trains it anew")
    _publish(folder, run, member)


# --- one member --------------------------------------------------------------------------------------------


def _train(job: Job, tables: Tables, folder: Path) -> None:
    """Train one member into a folder, and seal it; resumes from the checkpoint there, and leaves it."""
    config, member, rows = job.config, job.member, tables.rows
    backend.start(config.training.threads)
    from digits.training import loop

    learned, held_out = np.flatnonzero(tables.folds != member.fold), np.flatnonzero(tables.folds == member.fold)
    with messages.sender(job.pipe) as send, messages.Reporter(member.name, send, job.until) as report:
        network = loop.train(
            next(of for of in config.architectures if of.label == member.architecture),
            config.training,
            config.augmentation,
            int(rows.targets.max()) + 1,
            rows,
            learned,
            held_out,
            derive(config.seed, "member", member.architecture, member.seed, member.fold),
            folder / CHECKPOINT,
            report,
        )
    _write_history(folder / "history.csv", network.history, loop.HISTORY)
    with replacing(folder / "model.keras") as temporary:
        network.model.save(temporary)
    logits, features = loop.predict_with(network.predict, rows.images[held_out], config.tta)
    arrays.write(folder / "oof.npz", rows=held_out, logits=logits, features=features)
    logits, features = loop.predict_with(network.predict, tables.test_images, config.tta)
    arrays.write(folder / "test.npz", logits=logits, features=features)
    seconds = float(network.history[:, loop.HISTORY.index("seconds")].sum())
    images = len(network.history) * cost.images_per_epoch(len(learned), config.training)
    record = {
        "precision": network.precision,
        "seconds": seconds,
        "training_macs": float(cost.PASSES * models.multiply_adds(network.model) * images),
        "versions": backend.versions(),
        "processor": backend.processor(),
        "device": backend.device() or backend.processor(),
        "deterministic": backend.is_deterministic(),
    }
    records.seal(folder, record)


def _write_history(path: Path, history: np.ndarray, names: tuple[str, ...]) -> None:
    with replacing(path) as temporary:
        np.savetxt(temporary, history, fmt="%.6g", delimiter=",", header=",".join(names), comments="")


def _draw_history(run: Run, members: list[Member]) -> None:
    """Draw how the training of these members went."""
    from digits.figures import history

    histories = {member.name: run.history(member) for member in members}
    with replacing(run.folder / "history.png") as temporary:
        history.training_history(histories).savefig(temporary)
