"""Train members on the workers of a Dask cluster."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock

from digits import config
from digits.config import Config
from digits.data import Rows
from digits.errors import UserError
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.runs import Member, Run
from digits.training import member
from digits.training.member import CHECKPOINT, Tables
from digits.workers import budget, dask, forecast, local, messages
from digits.workers.members import Plan, Result


@dataclass(frozen=True)
class Job:
    """One member to train on a worker."""

    config: Config
    member: Member


def train(plan: Plan, scheduler: str) -> Iterator[Result]:
    """Train the missing members on the workers of a scheduler, and put each into the run as soon as it is back."""
    with dask.connect(scheduler) as client:
        with local.processes(1, plan.run.folder, apart=True) as submit:
            every = plan.works(forecast.count(submit, plan.config, plan.tables, workers=1))
        works = {member: every[member] for member in plan.missing}
        budget.say_recipe(every, works)
        jobs = {member.name: Job(plan.config, member) for member in plan.missing}
        with (
            plan.lines(works, dask.at_a_time(client)) as lines,
            messages.listen(lines.hear, lines.tick) as pipe,
            messages.sender(pipe) as hear,
        ):
            for name, files in dask.run(client, _train_there, jobs, plan.tables, hear):
                done = jobs[name].member
                with filelock.FileLock(plan.run.member_lock(done)):
                    _unpack(files, plan.run, done)
                yield done, None


def _train_there(job: Job, tables: Tables) -> dict[str, bytes]:
    """Train one member on a worker of a cluster; the content of its files, by name.

    In a process of its own: Keras draws initial weights from random states that are one for all threads of a
    worker, and TensorFlow keeps its number of threads as long as a process lives.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        order = {"config": job.config.model_dump(mode="json"), "member": asdict(job.member)}
        records.write_json(folder / "job.json", order | {"classes": tables.rows.classes})
        rows = {"images": tables.rows.images, "targets": tables.rows.targets}
        arrays.write(folder / "tables.npz", **rows, folds=tables.folds, test_images=tables.test_images)
        dask.follow([sys.executable, "-m", "digits", "train-member", name])
        made = folder / "member"
        return {path.name: path.read_bytes() for path in made.iterdir() if path.name != CHECKPOINT}


def train_member(folder: Path) -> None:
    """Train, for `_train_there`, the member of `job.json` on `tables.npz` into the folder `member`."""
    local.end_with(os.getppid())
    order = records.read_json(folder / "job.json", config=dict, member=dict, classes=int)
    stored = arrays.read(folder / "tables.npz")
    rows = Rows(stored["images"], stored["targets"], order["classes"])
    tables = Tables(rows, stored["folds"], stored["test_images"])
    wanted = Member(**order["member"])
    with messages.sender(None) as send, messages.Reporter(wanted.name, send) as report:
        member.train(config.parse(order["config"], str(folder)), wanted, tables, folder / "member", report)


def _unpack(files: dict[str, bytes], run: Run, wanted: Member) -> None:
    """Put a member that came over the network into the run, if it is as it was sent."""
    folder = run.unfinished(wanted)
    shutil.rmtree(folder, ignore_errors=True)  # begun on this machine
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)
    if not records.is_whole(folder):
        raise UserError(f"member {wanted.name} came back damaged; the same command trains it anew")
    member.publish(folder, run.member(wanted))
