"""Train every member of a run: architectures x seeds x folds."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from digits.config import Config
from digits.errors import UserError
from digits.figures import folder, history
from digits.runs import Member, Run, training_order
from digits.seeds import derive
from digits.training.augment import augment
from digits.training.member import Tables, is_complete
from digits.workers import members
from digits.workers.budget import Resources
from digits.workers.members import OUT_OF_TIME, Plan, Result

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """Result of a call. trained: members, in the order of the config. problems: why others failed, by name."""

    trained: list[Member]
    problems: dict[str, str] = field(default_factory=dict)


def run(run: Run, resources: Resources | None = None, after: Callable[[list[Member]], None] | None = None) -> Outcome:
    """Train the members that are not trained yet, and draw the training history.

    run: locked by the caller. resources: by default all of this machine, for as long as it takes. after: called after
    every member, with all that are trained by then.

    Raises:
        UserError: not a single member fits into the time.
    """
    resources = resources or Resources()
    run.claim()
    missing = [member for member in training_order(run.config) if not _is_trained(run, member)]
    outcome = Outcome([member for member in run.members if member not in missing])
    if outcome.trained:
        print(f"{len(outcome.trained)} of {len(run.members)} members are trained already", flush=True)
    if missing:
        _try_augmentation(run.config, run.dataset.train_images)
        tables = Tables.of(run.config, run.dataset)
        plan = Plan(run, run.config, tables, missing, resources.deadline, resources.patient)
        with contextlib.closing(_results(plan, resources)) as results:
            for member, problem in results:
                _record(run, outcome, member, problem)
                if problem is None and after:
                    after(outcome.trained)
    if outcome.trained:
        histories = {member.name: run.history(member) for member in outcome.trained}
        folder.draw(run.folder, [("history", history.training_history(histories), history.CAPTION)])
    return outcome


def _is_trained(run: Run, member: Member) -> bool:
    """The member is there, and every file of it has its checksum."""
    path = run.member(member)
    trained = path.exists() and is_complete(path)
    if path.exists() and not trained:
        logger.warning("member %s is damaged and is trained anew", member.name)
    return trained


def _try_augmentation(config: Config, images: np.ndarray) -> None:
    """Draw a few images now, so that a setting the library refuses costs no training."""
    try:
        augment(images[:2], config.augmentation, derive(config.seed, "trial"))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        height, width = images.shape[1:3]
        raise UserError(f"augmentation of {height}x{width} images: {' '.join(str(error).split())[:200]}") from error


def _results(plan: Plan, resources: Resources) -> Iterator[Result]:
    if resources.scheduler is None:
        return members.train(plan, resources.workers)
    from digits.workers import members_on_dask  # takes long to import

    return members_on_dask.train(plan, resources.scheduler)


def _record(run: Run, outcome: Outcome, member: Member, problem: str | None) -> None:
    """Add a member's result to the outcome, and print what went wrong."""
    if problem is None:
        outcome.trained[:] = [other for other in run.members if other in outcome.trained or other == member]
    elif problem == OUT_OF_TIME:
        print(f"{member.name} stopped: {problem}; its whole epochs are kept", flush=True)
    else:
        outcome.problems[member.name] = problem
        print(f"WARNING: member {member.name} failed, the others continue: {problem}", flush=True)
