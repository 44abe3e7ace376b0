"""Train members in processes of this machine."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import filelock

from digits import progress
from digits.config import Config
from digits.errors import shown
from digits.runs import Member, Run, RunFolder, training_order
from digits.training import backend, cost
from digits.training.cost import Work
from digits.training.member import Tables, epochs_done, is_complete, publish_member, train_member
from digits.workers import budget, forecast, gpus, local, messages, self_check
from digits.workers.budget import Deadline
from digits.workers.pool import Killed

logger = logging.getLogger(__name__)

OUT_OF_TIME = "the time was over"
SHORT = 300.0  # seconds of training on GPUs that are not worth a minute of measuring

Result = tuple[Member, str | None]  # a member, and why it is not trained; None where it is


@dataclass(frozen=True, eq=False)
class Plan:
    """Training that a call is to do.

    config: of the run, in the precision that works here. tables: of the run. missing: members, in the order of
    training. deadline: members that will probably not end in time are left out. patient: a member that fails does not
    stop the others.
    """

    run: Run
    config: Config
    tables: Tables
    missing: list[Member]
    deadline: Deadline
    patient: bool = False

    def works(self, macs: Mapping[str, int]) -> dict[Member, Work]:
        """Work of every member of the config. macs: forward multiply-adds by architecture."""
        return cost.works(self.config, macs, len(self.tables.folds), len(self.tables.test_images))

    def lines(self, works: Mapping[Member, Work], workers: int) -> progress.TrainingLines:
        """Progress display of the missing members. works: training that is left of each."""
        every, epochs = training_order(self.config), self.config.training.epochs
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


@dataclass(frozen=True)
class MemberJob:
    """Order to train one member in a worker process.

    run: where it goes. pipe: takes its progress. until: by `time.monotonic`, when it stops.
    """

    config: Config
    member: Member
    run: RunFolder
    pipe: Path
    until: float = math.inf


def train(plan: Plan, workers: int | None) -> Iterator[Result]:
    """Train the missing members, and give each as soon as it is trained or has failed."""
    plan, devices = _checked(plan)
    if workers is None:
        workers = _workers_on_gpus(plan, devices) if devices else backend.room_for(plan.config.training.threads)
    workers = min(workers, len(plan.missing))
    run = plan.run
    with local.processes(workers, run.folder, devices) as pool:
        every = plan.works(forecast.count_macs(pool, plan.config, plan.tables))
        works = {member: _left(run, member, every[member]) for member in plan.missing}
        budget.print_recipe(every, works)
        planned = forecast.budget(pool, plan, works)
        with plan.lines(works, workers) as lines, messages.listen(lines.hear, lines.tick) as pipe:
            train_one, members = _try if plan.patient else _train, {member.name: member for member in works}
            folder = RunFolder(run.folder)  # without its data, which all jobs share
            jobs = (
                (member.name, (MemberJob(plan.config, member, folder, pipe, planned.stops(member)),))
                for member in planned.in_time()
            )
            for name, result in pool.submit(train_one, jobs, (plan.tables,), patient=plan.patient):
                yield (members[name], str(result)) if isinstance(result, Killed) else result


def _left(run: Run, member: Member, work: Work) -> Work:
    """Work of a member without the epochs that its checkpoint holds."""
    return replace(work, epochs=max(0, work.epochs - epochs_done(run.unfinished(member))))


def _try(job: MemberJob, tables: Tables) -> Result:
    """Train one member; the reason where it failed."""
    try:
        return _train(job, tables)
    except Exception as error:  # whatever it is, the other members are worth having
        logger.exception("member %s", job.member.name)
        return job.member, f"{type(error).__name__}: {shown(str(error))}"


def _train(job: MemberJob, tables: Tables) -> Result:
    """Train one member in this process, unless a worker that outlived a kill has just done so."""
    member, run = job.member, job.run
    unfinished, finished = run.unfinished(member), run.member(member)
    with filelock.FileLock(run.member_lock(member)):
        if is_complete(finished):
            return member, None
        try:
            with messages.sender(job.pipe) as send, messages.Reporter(member.name, send, job.until) as reporter:
                train_member(job.config, member, tables, unfinished, reporter)
        except messages.OutOfTime:
            return member, OUT_OF_TIME
        publish_member(unfinished, finished)
    return member, None


def _checked(plan: Plan) -> tuple[Plan, int]:
    """The plan in the way of computing that works on the GPUs of this machine, and their number; 0 for none."""
    devices = gpus.count()
    if not devices:
        return plan, 0
    way = self_check.find_way(plan.config, *plan.tables.form)
    os.environ.update(way.environment)
    return replace(plan, config=way.settings(plan.config)), 0 if way is self_check.PROCESSOR else devices


def _workers_on_gpus(plan: Plan, devices: int) -> int:
    """Members to train at a time on the GPUs, as measured; one each where training is too short to measure."""

    def rate(workers: int) -> float:
        """Forward multiply-adds that all workers together train on in a second; 0 where they do not fit."""
        try:
            with local.processes(workers, plan.run.folder, devices, apart=True) as pool:
                macs = forecast.count_macs(pool, plan.config, plan.tables)
                measured = forecast.measured(pool, plan)
        except Killed:  # out of memory, or the GPU's driver gave up
            measured = [("", None)]
        if not all(speed for _, speed in measured):
            print(f"{cost.networks(workers)} at a time: failed, most likely for too little memory", flush=True)
            return 0.0
        per_second = workers * sum(macs[label] * speed.images for label, speed in measured) / len(measured)
        print(f"{cost.networks(workers)} at a time: {cost.short(per_second)} multiply-adds/s forward", flush=True)
        work = sum(work.macs * work.images * work.epochs for work in plan.works(macs).values())
        return 0.0 if work < SHORT * per_second else per_second

    if plan.deadline.left() < 6 * SHORT:
        return devices
    return gpus.best_workers(rate, devices, min(len(plan.missing), backend.room_for(threads=1)))
