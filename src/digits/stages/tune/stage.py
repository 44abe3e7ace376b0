"""Search for a better config: keras-tuner's oracle proposes trials, and workers score their folds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path

from digits.errors import UserError
from digits.files import records
from digits.files.lock import locked
from digits.progress import console
from digits.stages.tune import board, findings
from digits.stages.tune.board import Board
from digits.stages.tune.fold import FoldJob, combine, score_fold
from digits.stages.tune.results import Results
from digits.stages.tune.search import Search
from digits.stages.tune.space import check_options
from digits.stages.tune.trials import Trials, read_score
from digits.training import backend
from digits.workers import gpus, local, messages
from digits.workers.pool import Pool

TRIES = 2  # of scoring a config on an outer fold


def run(search: Search, workers: int | None = None, scheduler: str | None = None) -> None:
    """Search until the trials or the hours are used up; resume a search that was stopped.

    workers: processes of this machine; by default as many as its cores have room for. scheduler: address of a Dask
    scheduler, whose workers run the trials instead.

    Raises:
        UserError: another process works on the search, or it was begun otherwise.
    """
    with locked(search.folder):
        search.claim()
        with _pool(search, workers, scheduler) as pool:  # the workers import TensorFlow while this process does
            check_options(search.space, str(search.file))
            board.show(_search(search, pool))
            if search.tune.nested:
                _nested(search, pool)


def _pool(search: Search, workers: int | None, scheduler: str | None) -> AbstractContextManager[Pool]:
    if scheduler:
        from digits.workers import dask  # takes long to import

        return dask.connect(scheduler)
    workers = workers or backend.room_for(search.base.training.threads)
    return local.processes(workers, search.folder, gpus.count(), log=search.folder / "workers.log")


def _search(search: Search, pool: Pool) -> Results:
    """Search on all rows, or on those outside an outer fold."""
    from digits.stages.tune.oracle import open_oracle

    oracle = open_oracle(search)
    trials = Trials(search, oracle)
    with Board(search, trials, oracle, pool.workers) as shown, _listening(pool, trials, shown) as pipe:
        jobs = trials.jobs(pipe)
        for name, result in pool.submit(score_fold, jobs, search.rows(), patient=True):
            trials.take(name, result)
            shown.update()
        shown.update()
    oracle.save()
    results = Results.of(search, oracle)
    results.write()
    results.write_figures()
    return results


@contextmanager
def _listening(pool: Pool, trials: Trials, shown: Board) -> Iterator[Path | None]:
    """Hear the progress of trials: through a pipe on this machine, else through what workers print."""
    with messages.listen(trials.hear, shown.tick) as pipe, messages.sender(pipe) as pool.hear:
        yield pipe if pool.shares_files else None


def _nested(search: Search, pool: Pool) -> None:
    """Search anew outside each outer fold, train what was found there, and score it on the rows left out.

    The mean of these scores is an honest one of the whole procedure: no row had a say in how it was scored.
    """
    found = {fold: _search(search.outside(fold), pool) for fold in search.base.folds.trained}
    print(f"Scoring what was found on the {len(found)} outer folds", flush=True)
    files = {fold: _scored(results) / f"fold-{fold}.json" for fold, results in found.items()}
    scores = {fold: read_score(path) for fold, path in files.items()}
    jobs = []
    for fold in (fold for fold, score in scores.items() if score is None):
        folder, best = files[fold].parent if pool.shares_files else None, found[fold].best_config()
        jobs.append((str(fold), (FoldJob(str(fold), best, fold, folder=folder, pipe=Path(os.devnull)),)))
    for name, result in pool.submit(score_fold, jobs, (search.dataset.rows, search.outer_folds()), TRIES):
        if isinstance(result, str):
            raise UserError(f"outer fold {name}: {result}")
        scores[int(name)] = result
        records.write_json(files[int(name)], vars(result))
    whole = asdict(combine(list(scores.values())))
    records.write_json(search.folder / "nested.json", whole | {"folds": [asdict(score) for score in scores.values()]})
    console().print(findings.nested(whole, search.dataset.name), soft_wrap=True)


def _scored(results: Results) -> Path:
    """Folder of the score of the best trial; another trial that is the best after more of them has its own."""
    return results.search.folder / "scored" / results.best["trial"]
