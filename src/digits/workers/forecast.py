"""Say before training how long it takes on this machine."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from digits import config as configs
from digits import progress
from digits.config import Config
from digits.errors import UserError
from digits.runs import Member
from digits.training import cost
from digits.training.cost import Work
from digits.training.member import Tables
from digits.workers import warm_up
from digits.workers.budget import Budget, Speed, print_expected
from digits.workers.pool import Pool

if TYPE_CHECKING:
    from digits.workers.members import Plan

FAST = Path("configs/fast.yaml")  # the config to suggest where a run takes long ...
LONG = 3600.0  # ... which begins at that many seconds
SMALL = 5e12  # training MACs: less takes a minute or two, and is not worth a warm-up
WARM_UP_SECONDS = 3.0  # of training steps that speeds are measured in, at most ...
WARM_UP_SHARE = 0.02  # ... this share of the time


def count_macs(pool: Pool, config: Config, tables: Tables) -> dict[str, int]:
    """Forward multiply-adds of the architectures of a config.

    Every worker counts, so that each has imported its backend when speeds are measured.
    """
    question = (config.architectures, *tables.form, config.training.threads)
    *_, (_, macs) = pool.submit(warm_up.count_macs, [(f"count-{number}", question) for number in range(pool.workers)])
    return macs


def budget(pool: Pool, plan: Plan, works: Mapping[Member, Work]) -> Budget:
    """Measure how fast this machine is, and print how long training will take.

    Raises:
        UserError: not a single member fits into the time, and none was trained before.
    """
    run = plan.run
    damaged = [member for member in works if run.member(member).exists()]

    def took(member: Member) -> float | None:
        if member in damaged or not run.member(member).exists():
            return None
        return float(run.history(member)["seconds"][-works[member].epochs :].mean())

    limited, macs = math.isfinite(plan.deadline.hours), cost.training_macs(works.values())
    found = measured(pool, plan) if limited or macs >= SMALL else []
    speeds = {label: speed for label, speed in found if speed}  # without those whose training fails
    planned = Budget(works, pool.workers, plan.deadline, speeds, took)
    if speeds and planned.schedule():
        seconds = print_expected(planned)
        if seconds > LONG and not limited:
            _print_faster(pool, plan, macs, seconds)
    elif speeds and len(works) == len(run.members):
        raise UserError(planned.too_little())
    return planned


def measured(pool: Pool, plan: Plan) -> list[tuple[str, Speed | None]]:
    """Label and speed of the architectures that are missing, while all workers are as busy as they will be."""
    missing = {member.architecture for member in plan.missing}
    architectures = [architecture for architecture in plan.config.architectures if architecture.label in missing]
    turns = math.ceil(len(architectures) / pool.workers) * pool.workers
    rows = warm_up.sample(plan.tables.rows, plan.config.training)
    seconds = min(WARM_UP_SECONDS, WARM_UP_SHARE * 3600 * plan.deadline.hours)
    turn = itertools.islice(itertools.cycle(architectures), turns)
    jobs = [(f"warm-up-{number}", (net, plan.config, rows, seconds)) for number, net in enumerate(turn)]
    return [result for _, result in pool.submit(warm_up.measure, jobs)]


def _print_faster(pool: Pool, plan: Plan, macs: float, seconds: float) -> None:
    """Print what would be faster than so many training MACs in so many seconds."""
    faster = "HOURS=1 for as many networks as fit"
    with contextlib.suppress(UserError):  # whatever is wrong with that file, it is not in use
        fast = configs.load(FAST)
        works = replace(plan, config=fast).works(count_macs(pool, fast, plan.tables))
        taken = seconds / macs * cost.training_macs(works.values())
        if fast != plan.config and taken < seconds:
            faster = f"CONFIG={FAST}, about {progress.about(taken)}; or {faster}"
    print(f"Faster: {faster}", flush=True)
