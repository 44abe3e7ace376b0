"""The order of stages up to a submission, for the command line and the kernel alike."""

from __future__ import annotations

import time

from digits import runs
from digits.config import Config
from digits.data import Dataset
from digits.ensemble import logits
from digits.ensemble.logits import Logits
from digits.errors import UserError
from digits.runs import Member, Run
from digits.stages import submit, train
from digits.stages.train import Outcome
from digits.workers.cost import Deadline


def make_submission(
    config: Config,
    dataset: Dataset,
    run: Run,
    read_seconds: float,
    rest: str | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    deadline: Deadline | None = None,
    patient: bool = False,
) -> Outcome:
    """Train what is missing, rewrite the submission after every member, and print the closing table.

    Args:
        config, dataset: what is trained, on what.
        run: where everything goes; the caller holds its lock.
        read_seconds: that reading the data took; the table and the metrics show it.
        rest: the command that trains the members for which there is no time.
        workers, scheduler, deadline, patient: as those of `train.run`.

    Raises:
        UserError: not a single member was trained.
    """
    started = time.perf_counter()
    loaded: dict[Member, Logits] = {}

    def seconds() -> dict[str, float]:
        return {"read": read_seconds, "train": time.perf_counter() - started}

    def after(trained: list[Member]) -> None:
        if len(trained) < len(runs.members(config)):  # the last one is followed by the closing table
            loaded.update({member: logits.load(run, member) for member in trained if member not in loaded})
            figures = submit.ensemble(config, dataset, run, [loaded[member] for member in trained], seconds())
            scores = f"OOF accuracy {figures['oof_accuracy']:.5f}, predicted score {figures['predicted_score']:.5f}"
            print(f"submission.csv: {len(trained)} of {figures['members_planned']} members, {scores}", flush=True)

    outcome = train.run(config, dataset, run, workers, scheduler, deadline, after, patient)
    if not outcome.trained:
        reason = next(iter(outcome.problems.values()), "the time was over; the same command resumes its checkpoint")
        raise UserError(f"no member was trained: {reason}")
    submit.run(config, dataset, run, seconds(), outcome.trained, rest)
    return outcome
