"""Train members on the workers of a Dask cluster."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

from digits.config import Config
from digits.errors import UserError
from digits.files import records
from digits.files.atomic import replacing
from digits.runs import Member, Run
from digits.training.member import CHECKPOINT, Tables, publish_member, train_member
from digits.workers import budget, dask, forecast, local, messages
from digits.workers.members import Plan, Result

TRIES = 3  # of a member whose workers are killed


def train(plan: Plan, scheduler: str) -> Iterator[Result]:
    """Train the missing members on the workers of a scheduler, and put each into the run as soon as it is back."""
    with dask.connect(scheduler) as cluster:
        with local.processes(1, plan.run.folder, apart=True) as pool:
            every = plan.works(forecast.count_macs(pool, plan.config, plan.tables))
        works = {member: every[member] for member in plan.missing}
        budget.print_recipe(every, works)
        members = {member.name: member for member in plan.missing}
        with (
            plan.lines(works, cluster.workers) as lines,
            messages.listen(lines.hear, lines.tick) as pipe,
            messages.sender(pipe) as cluster.hear,
        ):
            jobs = [(name, (plan.config, member)) for name, member in members.items()]
            for name, files in cluster.submit(_train_there, jobs, (plan.tables,), TRIES):
                member = members[name]
                with filelock.FileLock(plan.run.member_lock(member)):
                    _unpack(files, plan.run, member)
                yield member, None


def _train_there(config: Config, member: Member, tables: Tables) -> dict[str, bytes]:
    """Train one member on a worker of a cluster; the content of its files, by name."""
    with (
        tempfile.TemporaryDirectory() as name,
        messages.sender(None) as send,
        messages.Reporter(member.name, send) as reporter,
    ):
        folder = Path(name)
        train_member(config, member, tables, folder, reporter)
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != CHECKPOINT}


def _unpack(files: dict[str, bytes], run: Run, member: Member) -> None:
    """Put a member that came over the network into the run, if it is as it was sent."""
    folder = run.unfinished(member)
    shutil.rmtree(folder, ignore_errors=True)  # begun on this machine
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)
    if not records.is_whole(folder):
        raise UserError(f"member {member.name} came back damaged; the same command trains it anew")
    publish_member(folder, run.member(member))
