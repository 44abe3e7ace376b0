"""Chief and workers of a search: keras-tuner's own, which talk through gRPC, with trials of ours.

The chief keeps the books and answers; a worker asks for trials and runs them, one at a time, each in a process of
its own. Both are told who they are by the environment variables that keras-tuner reads.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError
from keras_tuner.src.distribute import oracle_client

from digits import config
from digits.data import Dataset
from digits.errors import UserError
from digits.stages.tune import space
from digits.stages.tune.oracle import BECAUSE, MOST_TRIES, OBJECTIVES, Bookkeeping, carried
from digits.stages.tune.trial import GAVE_UP, Job, Nursery, Score, combine, search_rows

SIGN_OF_LIFE = 5.0  # seconds between two, while a trial runs
CHIEF_PATIENCE = 120.0  # seconds that a worker waits for a chief that does not answer


class ChiefLost(FatalError, UserError):
    """The chief does not answer; keras-tuner lets this one through, and the command line makes a line of it."""


def announce(role: str, address: str) -> None:
    """Tell keras-tuner who this process is: `chief`, or a worker's name, and where the chief listens (host:port)."""
    host, _, port = address.rpartition(":")
    os.environ.update(KERASTUNER_TUNER_ID=role, KERASTUNER_ORACLE_IP=host, KERASTUNER_ORACLE_PORT=port)


class Refused(FatalError, UserError):
    """The disk refuses: this worker gives up, and its trial waits for the next one."""


class Childless(FatalError):
    """The process that forks trials was killed: this worker is of no more use, and another one takes its trial."""


class Chief(BaseTuner):
    """Answers the workers; its `search` returns when they have all been told that it is over.

    Needs `announce("chief", address)` before.
    """

    def __init__(self, oracle: Bookkeeping, folder: Path) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it says when it takes up earlier books, and so do we
            super().__init__(oracle, directory=str(folder), project_name="trials")

    def save(self) -> None:
        """Write the oracle's books; they are all there is to keep."""
        self.oracle.save()
        self.oracle.write(Path(self._get_tuner_fname()), {})

    def reload(self) -> None:
        """Take up the oracle's books."""
        self.oracle.reload()


class Worker(BaseTuner):
    """Asks the chief for trials and runs them. Needs `announce(name, address)` before.

    Args:
        nursery: runs the trials.
        dataset: the same rows as the chief's.
        output: folder of all runs; checkpoints of trials go below it.

    Raises:
        UserError: the chief searches on other rows.
        ChiefLost: it does not answer.
    """

    def __init__(self, nursery: Nursery, dataset: Dataset, output: Path) -> None:
        oracle_client.TIMEOUT = CHIEF_PATIENCE  # of every call; theirs is an hour
        # keras-tuner replaces this oracle by one that asks the chief.
        nobody = keras_tuner.Oracle(keras_tuner.Objective("log_loss", "min"))
        super().__init__(nobody, directory=str(output / "tune"), project_name=".")
        self.oracle = _Patient(self.oracle)
        search = json.loads(carried(self.oracle.get_space()))
        if search["data"] != dataset.fingerprint:
            raise UserError(f"the search is on other training rows than {dataset.name}; give its DATA=")
        base = config.parse(search["config"], "of the search")
        self.oracle.objective = keras_tuner.Objective(base.tune.objective, OBJECTIVES[base.tune.objective])
        self.space = space.parse(search["space"], base, "of the search")
        self.rows, self.folds = search_rows(base, dataset, search["outer"])
        _trust(search["name"], r"\w[\w .+-]*(/outer-\d+)?")
        self.work = output / "tune" / search["name"] / "work"
        self.nursery = nursery

    def save(self) -> None:
        """Nothing: the books are the chief's."""

    def run_trial(self, trial: Trial, **_: Any) -> dict[str, float]:
        """Train and score a trial; its figures for the chief.

        Raises:
            FailedTrialError: it diverged, was killed twice, or took too long.
            Refused: the disk is full, or may not be written.
            Childless: there is nobody left to run it.
        """
        _trust(trial.trial_id, r"\d+")
        try:
            settings = self.space.config(trial.hyperparameters.values)
        except UserError as error:
            raise self._failure(trial.trial_id, str(error)) from None
        job = Job(settings, self.rows, self.folds, range(settings.tune.folds), self.work / trial.trial_id)
        try:
            scores = self._follow(job, trial.trial_id)
        except (EOFError, BrokenPipeError) as error:
            raise Childless("the process that forks trials was killed") from error
        if not scores:
            raise self._failure(trial.trial_id, "another worker ended it")
        print(f"trial {trial.trial_id}: log loss {combine(scores).log_loss:.5f}", flush=True)
        return vars(combine(scores))

    def on_trial_end(self, trial: Trial) -> None:
        super().on_trial_end(trial)
        shutil.rmtree(self.work / trial.trial_id, ignore_errors=True)

    def _follow(self, job: Job, trial_id: str) -> list[Score]:
        """Run the job and tell the chief how it goes; ends early where the chief says so."""
        limit = job.config.tune.trial_minutes
        deadline = time.monotonic() + 60 * limit if limit else float("inf")
        scores: list[Score] = []
        kills = 0
        self.nursery.begin(job)
        try:
            while True:
                told = self.nursery.hear(SIGN_OF_LIFE) or {}
                if time.monotonic() > deadline:
                    raise self._failure(trial_id, f"took more than {limit:g} minutes (tune.trial_minutes)")
                if "failed" in told:
                    raise self._failure(trial_id, told["failed"])
                if "killed" in told:
                    kills += 1
                    if kills == MOST_TRIES:
                        reason = f"its process was killed {kills} times, by signal {told['killed']}"
                        raise self._failure(trial_id, f"{reason}; is the memory too small?")
                    scores.clear()  # those of finished folds are told again
                    self.nursery.begin(job)
                    continue
                if "refused" in told:
                    raise Refused(told["refused"])
                if "score" in told:
                    scores.append(told["score"])
                if "done" in told or self._tell(trial_id, told, job) == TrialStatus.STOPPED:
                    return scores
        finally:
            self.nursery.end()

    def _tell(self, trial_id: str, told: dict[str, Any], job: Job) -> str:
        """Pass on to the chief what a trial told, or a sign of life; the status that it answers."""
        if "score" in told:
            score: Score = told["score"]
            loss = score.log_loss if job.config.tune.objective == "log_loss" else 1 - score.accuracy
            return self.oracle.update_trial(trial_id, {"fold_loss": loss}, told["fold"]).status
        if "epochs" in told:
            return self.oracle.update_trial(trial_id, {name: float(told[name]) for name in ("epochs", "total")}).status
        return self.oracle.get_trial(trial_id).status

    def _failure(self, trial_id: str, reason: str) -> FailedTrialError:
        """Why a trial failed, for the chief too: keras-tuner's own message does not travel."""
        self.oracle.update_trial(trial_id, {BECAUSE + reason: 0.0})
        print(f"trial {trial_id} failed: {reason}", flush=True)
        return FailedTrialError(reason)


def _trust(name: str, pattern: str) -> None:
    """Refuse what a chief calls a folder of ours, unless it stays below the one it is in."""
    if not re.fullmatch(pattern, name):
        raise ChiefLost(f"{_chief()} is no chief of this project: it speaks of '{name[:50]}'")


class _Patient:
    """An oracle on the chief whose calls wait until it answers, as one that is started again will.

    Every call may be repeated: an ended trial stays ended, and a worker that asks again for a trial gets the same.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.objective: Any = None

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def ask(*args: Any, **kwargs: Any) -> Any:
            waited_since = time.monotonic()
            while True:
                try:
                    _reach_chief()
                    answer = call(*args, **kwargs)
                except (OSError, grpc.RpcError):
                    if time.monotonic() - waited_since > CHIEF_PATIENCE:
                        raise ChiefLost(f"the chief at {_chief()} does not answer; start it, then this again") from None
                    time.sleep(1)
                    continue
                if isinstance(answer, Trial) and answer.status == TrialStatus.IDLE:
                    time.sleep(1)  # keras-tuner would ask again at once
                return answer

        return ask


def _chief() -> str:
    return f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"


def _reach_chief() -> None:
    """Raises OSError where nobody listens; keras-tuner's own call would wait until its timeout."""
    address = (os.environ["KERASTUNER_ORACLE_IP"], int(os.environ["KERASTUNER_ORACLE_PORT"]))
    socket.create_connection(address, timeout=5).close()


def work(chief: str, name: str, dataset: Dataset, output: Path, alive: Connection, log: Path | None) -> None:
    """Be a worker until the search is over. For a process of its own, with no thread but one.

    Args:
        chief: host:port where it listens.
        name: of this worker; keras-tuner would take one with `chief` in it for the chief's.
        dataset: the same rows as the chief's.
        output: folder of all runs.
        alive: an end of a pipe whose other end closes when the process that wanted a worker is gone.
        log: file for all that is printed; None prints.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that ends this one
    if log:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    nursery = Nursery()
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    announce(name, chief)
    try:
        Worker(nursery, dataset, output).search()
    except (UserError, Childless) as error:
        with contextlib.suppress(OSError):  # of a log on a full disk
            print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1 if isinstance(error, Childless) else GAVE_UP)


def _end_with(alive: Connection) -> None:
    """End this process, and with it its trial, as soon as the other end of the pipe is closed."""
    with contextlib.suppress(EOFError, OSError):
        alive.recv()
    os._exit(1)
