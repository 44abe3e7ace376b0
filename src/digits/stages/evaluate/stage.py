"""Evaluate a finished run: class by class, how far its probabilities can be trusted, where it errs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from digits.competition import COMPETITION
from digits.ensemble import logits
from digits.ensemble.logits import BELIEFS, Logits
from digits.figures import confusion, history
from digits.figures import folder as figure_folder
from digits.files import records
from digits.progress import StepTimer, console, duration
from digits.runs import Run
from digits.seeds import derive
from digits.stages.evaluate import figures, findings, measures
from digits.stages.evaluate.measures import RAW, SCALED, SHARPENED, Evaluation
from digits.stages.evaluate.predictions import Predictions

Histories = dict[str, dict[int, list[np.ndarray]]]
HEADINGS = ("rows", "precision", "recall", "F1", "95% interval of F1", "most often taken for")  # after the class


def run(run: Run) -> dict[str, Any]:
    """Write `evaluation/` of a finished run: metrics, scores of every class, mistakes, figures.

    Args:
        run: finished; the caller holds its lock.

    Returns:
        The metrics.

    Raises:
        UserError: the run is not finished, or was made from other rows.
    """
    steps = StepTimer()
    with steps.step("logits of the members"):
        logits.read_ensemble(run)
        metrics = records.read_json(run.metrics, predicted_score=float)
        members = [logits.load(run, member) for member in run.members]
    with steps.step("temperatures"):
        predictions, temperatures = _calibrate(run, members)
        choices = _choices(members, predictions[SCALED].rows)
    with steps.step("scores"):
        labels, seed = run.dataset.classes, derive(run.config.seed, "evaluate")
        evaluation = measures.evaluate(predictions, temperatures, choices, labels, seed)
        sentences = findings.sentences(evaluation, metrics, run.config.tuned_on == run.dataset.fingerprint)
    with steps.step("figures and files"):
        figure_folder.clear(run.evaluation)
        grey = ["mistakes"] if run.dataset.shape[-1] == 1 else []
        histories = _histories(run)
        captions = findings.captions(predictions[SCALED], evaluation) | history.captions(histories)
        captions["confusion"] = confusion.caption(evaluation.confusion, labels)
        drawn = _figures(run, predictions[SCALED], evaluation, histories)
        captions = figure_folder.draw(run.evaluation, ((name, each, captions[name]) for name, each in drawn), grey)
        _write_classes(run, evaluation)
        _write_mistakes(run, predictions[SCALED], choices["out_of_fold"])
    record = {
        "rule": run.config.ensemble.rule,
        "members": len(members),
        "data": {"name": run.dataset.name, "train": run.dataset.fingerprint, "test": run.dataset.test_fingerprint},
        "oof": records.checksum(run.oof),
        **records.with_nulls(measures.to_record(evaluation)),
        "findings": sentences,
        "captions": captions,
        "seconds": steps.seconds,
    }
    records.seal(run.evaluation, record, "metrics.json")
    _print(run, evaluation, record)
    return record


def _calibrate(run: Run, members: list[Logits]) -> tuple[dict[str, Predictions], dict[str, Any]]:
    """Out-of-fold predictions after each step of calibration, and the temperatures of the steps.

    Those of `SCALED` are in `oof.npz`: a temperature for each architecture, cross-fitted.
    """
    targets, rule = run.dataset.targets, run.config.ensemble.rule
    calibrated = logits.calibrate(members, targets)
    by_fold, overall = logits.ensemble_temperatures(members, calibrated, targets)
    raw, scaled = (predict(loaded, targets, rule) for loaded in (members, calibrated.members))
    sharper = logits.sharpened(scaled.rows, scaled.probabilities, calibrated.members, by_fold)
    temperatures = {
        "architectures": calibrated.temperatures,
        "ensemble": overall,
        "by_fold": {fold: fitted | {"ensemble": by_fold[fold]} for fold, fitted in calibrated.by_fold.items()},
    }
    return {RAW: raw, SCALED: scaled, SHARPENED: dataclasses.replace(scaled, probabilities=sharper)}, temperatures


def predict(members: list[Logits], targets: np.ndarray, rule: str) -> Predictions:
    """Out-of-fold predictions of members by a rule of `ensemble.rules`; targets int (rows,), of all training rows."""
    rows, probabilities = logits.out_of_fold(members, rule)
    chosen = probabilities.argmax(axis=1)
    if rule == "vote":
        _, probabilities = logits.out_of_fold(members, BELIEFS)
    folds = np.empty(len(rows), int)
    for each in members:
        folds[np.searchsorted(rows, each.rows)] = each.member.fold
    return Predictions(rows, folds, targets[rows], chosen, probabilities)


def _choices(members: list[Logits], rows: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Classes chosen for the test rows by each member, and out of fold by each architecture and seed.

    The members of one architecture and seed together predict every out-of-fold row once: their folds are disjoint.
    """
    out_of_fold: dict[str, np.ndarray] = {}
    for loaded in members:
        member = loaded.member
        chosen = out_of_fold.setdefault(f"{member.architecture}-s{member.seed}", np.empty(len(rows), int))
        chosen[np.searchsorted(rows, loaded.rows)] = loaded.oof.argmax(axis=1)
    return {
        "test": {loaded.member.name: loaded.test.argmax(axis=1) for loaded in members},
        "out_of_fold": out_of_fold,
    }


# --- files -------------------------------------------------------------------------------------------------


def _figures(
    run: Run, predictions: Predictions, evaluation: Evaluation, histories: Histories
) -> Iterator[tuple[str, Figure]]:
    """Every figure that has something to show, with the name of its file."""
    yield "confusion", confusion.confusion_matrix(evaluation.confusion, run.dataset.classes)
    yield "classes", figures.class_scores(evaluation)
    if evaluation.mistakes:
        yield "mistakes", figures.mistake_sheet(predictions, run.dataset.train_images, evaluation.labels)
        yield "coverage", figures.coverage(predictions, evaluation)
    yield "confidence", figures.confidence_histogram(predictions)
    yield "reliability", figures.reliability_diagram(predictions)
    if len(evaluation.agreement["test"].members) > 1:
        yield "agreement", figures.agreement_matrix(evaluation.agreement["test"])
    if len(evaluation.rescued.architectures) > 1:  # else each row has one network: nothing to rescue
        yield "rescued", figures.rescued_bars(evaluation.rescued.architectures)
    for architecture, folds in histories.items():
        yield f"history_{architecture}", history.fold_histories(folds)


def _histories(run: Run) -> Histories:
    """Training histories by architecture and fold."""
    histories: Histories = {}
    for member in run.members:
        folds = histories.setdefault(member.architecture, {})
        folds.setdefault(member.fold, []).append(run.history(member))
    return histories


def _write_classes(run: Run, evaluation: Evaluation) -> None:
    names = ("precision", "recall", "f1")
    header = ["class", "support", "predicted", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))]
    lines = []
    for scores in evaluation.classes:
        values = [value for name in names for value in dataclasses.astuple(getattr(scores, name))]
        cells = ["" if np.isnan(value) else f"{value:.6f}" for value in values]
        lines.append([scores.class_, scores.support, scores.predicted, *cells])
    records.write_csv(run.evaluation / "classes.csv", header, lines)


def _write_mistakes(run: Run, predictions: Predictions, choices: Mapping[str, np.ndarray]) -> None:
    labels = run.dataset.classes
    support = np.mean([chosen == predictions.chosen for chosen in choices.values()], axis=0)
    wrong = predictions.mistakes
    first, second = predictions.chosen[wrong], predictions.second[wrong]
    columns = {
        "row": predictions.rows[wrong],
        "label": labels[predictions.targets[wrong]],
        "first": labels[first],
        "first_probability": [f"{value:.6f}" for value in predictions.probabilities[wrong, first]],
        "second": labels[second],
        "second_probability": [f"{value:.6f}" for value in predictions.probabilities[wrong, second]],
        "member_agreement": [f"{value:.2f}" for value in support[wrong]],
    }
    records.write_csv(run.evaluation / "mistakes.csv", list(columns), zip(*columns.values(), strict=True))


# --- console -----------------------------------------------------------------------------------------------


def _print(run: Run, evaluation: Evaluation, record: Mapping[str, Any]) -> None:
    out = console()
    title = f"{COMPETITION.nouns} of run {run.folder}, out of fold"
    table = Table(COMPETITION.noun, *HEADINGS, title=title, title_justify="left")
    for index, scores in enumerate(evaluation.classes):
        values = (scores.precision, scores.recall, scores.f1)
        cells = ["-" if np.isnan(score.value) else f"{score.value:.4f}" for score in values]
        interval = f"{scores.f1.low:.4f} to {scores.f1.high:.4f}"
        table.add_row(str(scores.class_), f"{scores.support:,}", *cells, interval, _taken_for(evaluation, index))
    out.print(table)
    for sentence in chain(*record["findings"].values()):
        out.print(f"- {sentence}", soft_wrap=True)
    out.print(f"Written in {duration(sum(record['seconds'].values()))}: {run.evaluation}", soft_wrap=True)


def _taken_for(evaluation: Evaluation, index: int) -> str:
    """The class that rows of this class are most often taken for, with the counts; `-` where there is none."""
    others = evaluation.confusion[index].copy()
    others[index] = 0
    most = others.argmax()
    return f"{evaluation.labels[most]} ({others[most]} of {others.sum()})" if others[most] else "-"
