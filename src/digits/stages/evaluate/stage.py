"""Say how good a finished run is: digit by digit, how far its probabilities can be believed, where it errs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import isqrt
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from digits.config import Config
from digits.data import Dataset
from digits.ensemble import logits, metrics
from digits.ensemble.interval import Interval, wilson
from digits.ensemble.logits import BELIEFS, Calibrated, Logits
from digits.figures import confusion, history, sheets
from digits.figures import folder as results
from digits.files import records
from digits.progress import Steps, console, duration
from digits.runs import Run
from digits.seeds import derive
from digits.stages.evaluate import figures
from digits.stages.evaluate import measures as evaluation

PROMISED = 0.999  # accuracy whose coverage is told
NEARLY_ALL = 0.99  # coverage whose accuracy is told
SHEET, COLUMNS = 600, 12  # mistakes on their sheet, at most; images side by side, at least
PAIRS_TOLD = 5
RAW, SCALED, SHARPENED = "unscaled", "scaled by architecture", "also as an ensemble"  # stages of calibration


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """What the ensemble says of the out-of-fold rows.

    rows: int (n,), ascending. folds: int (n,). targets: the class of each row's label, int (n,). chosen: class, int
    (n,). beliefs: probabilities, float (n, c); where the ensemble votes, those of `BELIEFS`.
    """

    rows: np.ndarray
    folds: np.ndarray
    targets: np.ndarray
    chosen: np.ndarray
    beliefs: np.ndarray

    @cached_property
    def right(self) -> np.ndarray:
        """Whether each row's choice is its label, bool (n,)."""
        return self.chosen == self.targets

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of each row's choice, float (n,)."""
        return self.beliefs[np.arange(len(self.rows)), self.chosen]

    @cached_property
    def second(self) -> np.ndarray:
        """The most probable class beside each row's choice, int (n,)."""
        others = self.beliefs.copy()
        others[np.arange(len(self.rows)), self.chosen] = -1
        return others.argmax(axis=1)

    @cached_property
    def mistakes(self) -> np.ndarray:
        """Places of the wrong rows, the most confident first, int (w,)."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


def run(run: Run) -> dict[str, Any]:
    """Write `evaluation/` of a finished run: metrics, the scores of every digit, the mistakes, figures.

    Probabilities, confidences and choices are those of `oof.npz`: a temperature for each architecture, cross-fitted.

    Args:
        run: finished; the caller holds its lock.

    Returns:
        The metrics.

    Raises:
        UserError: the run is not finished, or was made from other rows.
    """
    steps = Steps()
    with steps.step("logits of the members"):
        logits.read_ensemble(run)
        members = [logits.load(run, member) for member in run.members]
    with steps.step("temperatures"):
        calibrated = logits.calibrate(members, run.dataset.targets)
        further = logits.ensemble_temperatures(members, calibrated, run.dataset.targets)
        stages = _stages(members, calibrated, further[0], run.dataset.targets, run.config.ensemble.rule)
    judged = stages[SCALED]
    with steps.step("scores"):
        voices = _voices(calibrated.members, judged)
        record = {
            "rule": run.config.ensemble.rule,
            "members": len(members),
            "data": {"name": run.dataset.name, "train": run.dataset.fingerprint, "test": run.dataset.test_fingerprint},
            "oof": records.checksum(run.oof),
            **_scores(judged, run.dataset.classes),
            "calibration": _calibration(run.config, stages, calibrated, further),
            "coverage": _coverage(judged),
            **_ensembling(calibrated.members, judged, voices),
        }
    with steps.step("figures and files"):
        results.clear(run.evaluation)
        drawn = _figures(run, stages, record, voices)
        record["captions"] = results.draw(run.evaluation, drawn, grey=("mistakes",))
        _write_digits(run, record)
        _write_mistakes(run, judged, run.dataset.classes, voices)
    record["seconds"] = steps.seconds
    record = records.with_nulls(record)
    records.seal(run.evaluation, record, "metrics.json")
    _print(run, record)
    return record


# --- what there is to score --------------------------------------------------------------------------------


def _stages(
    members: list[Logits], calibrated: Calibrated, further: Mapping[int, float], targets: np.ndarray, rule: str
) -> dict[str, Judged]:
    """The out-of-fold rows as they were judged before any temperature, and after each."""
    raw, scaled = (_judge(of, targets, rule) for of in (members, calibrated.members))
    sharper = logits.sharpened(scaled.rows, scaled.beliefs, calibrated.members, further)
    return {RAW: raw, SCALED: scaled, SHARPENED: dataclasses.replace(scaled, beliefs=sharper)}


def _judge(members: list[Logits], targets: np.ndarray, rule: str) -> Judged:
    rows, probabilities = logits.out_of_fold(members, rule)
    _, beliefs = (rows, probabilities) if rule != "vote" else logits.out_of_fold(members, BELIEFS)
    folds = np.empty(len(rows), int)
    for of in members:
        folds[np.searchsorted(rows, of.rows)] = of.member.fold
    return Judged(rows, folds, targets[rows], probabilities.argmax(axis=1), beliefs)


def _series(of: Logits) -> str:
    """Names an architecture and seed, whose members of all folds judge every row once."""
    return f"{of.member.architecture}-s{of.member.seed}"


def _voices(members: Sequence[Logits], judged: Judged) -> dict[str, np.ndarray]:
    """What each architecture and seed chose for the rows, int (n,) each; -1 where it has not judged a row."""
    voices: dict[str, np.ndarray] = {}
    for of in members:
        chosen = voices.setdefault(_series(of), np.full(len(judged.rows), -1))
        chosen[np.searchsorted(judged.rows, of.rows)] = of.oof.argmax(axis=1)
    return voices


def _support(judged: Judged, voices: Mapping[str, np.ndarray]) -> np.ndarray:
    """The share of members that made the ensemble's choice, of those that judged the row, float (n,)."""
    chosen = np.stack(list(voices.values()))
    return (chosen == judged.chosen).sum(axis=0) / (chosen >= 0).sum(axis=0)


# --- figures of the metrics --------------------------------------------------------------------------------


def _scores(judged: Judged, classes: np.ndarray) -> dict[str, Any]:
    counts = metrics.confusion(judged.targets, judged.chosen, len(classes))
    accuracy = wilson(int(judged.right.sum()), len(judged.rows))
    return {
        "rows": len(judged.rows),
        "mistakes": len(judged.mistakes),
        "accuracy": accuracy.value,
        "accuracy_interval": [accuracy.low, accuracy.high],
        "intervals": "95 %: Wilson's for accuracy, precision and recall; F1 by Wilson's interval of its Jaccard index",
        "digits": [
            {"digit": label, "support": digit.support, "predicted": digit.predicted}
            | _flat({"precision": digit.precision, "recall": digit.recall, "f1": digit.f1})
            for label, digit in zip(classes.tolist(), evaluation.by_digit(counts), strict=True)
        ],
        "classes": classes.tolist(),
        "confusion": counts.tolist(),
        "confused": [_pair(pair, classes) for pair in evaluation.confused_pairs(counts)],
    }


def _flat(scores: Mapping[str, Interval]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, score in scores.items():
        flat |= {name: score.value, f"{name}_interval": [score.low, score.high]}
    return flat


def _pair(pair: evaluation.Pair, classes: np.ndarray) -> dict[str, Any]:
    return {
        "digits": [int(classes[pair.first]), int(classes[pair.second])],
        "rows": pair.rows,
        "first_as_second": pair.first_as_second,
        "second_as_first": pair.second_as_first,
    }


def _calibration(
    config: Config, stages: Mapping[str, Judged], calibrated: Calibrated, further: tuple[dict[int, float], float]
) -> dict[str, Any]:
    return {
        "estimator": f"ECE of the choices in {evaluation.BINS} bins of equal mass; if_calibrated: by chance alone",
        "stages": {name: _credibility(judged, config.seed) for name, judged in stages.items()},
        "temperatures": {
            "architectures": calibrated.temperatures,
            "ensemble": further[1],
            "by_fold": {str(fold): of | {"ensemble": further[0][fold]} for fold, of in calibrated.by_fold.items()},
        },
        "cross_fitted": len(calibrated.by_fold) > 1,
    }


def _credibility(judged: Judged, seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(derive(seed, "evaluate"))
    error = evaluation.calibration_error(judged.confidence, judged.right, draw)
    bins = evaluation.binned(judged.confidence, judged.right, evaluation.equal_mass_edges(judged.confidence))
    return dataclasses.asdict(error) | {
        "mean_confidence": float(judged.confidence.mean()),
        "accuracy": float(judged.right.mean()),
        "log_loss": metrics.log_loss(judged.beliefs, judged.targets),
        "reliability": {field.name: getattr(bins, field.name).tolist() for field in dataclasses.fields(bins)},
    }


def _coverage(judged: Judged) -> dict[str, Any]:
    curve = evaluation.coverage(judged.confidence, judged.right)
    point, most = curve.widest(PROMISED), curve.at(NEARLY_ALL)
    chosen = evaluation.cross_fitted_selection(judged.confidence, judged.right, judged.folds, PROMISED)
    return {
        "promised_accuracy": PROMISED,
        "coverage": 0.0 if point is None else float(curve.shares[point]),
        "threshold": None if point is None else float(curve.threshold[point]),
        "cross_fitted": chosen
        and {
            "coverage": chosen.coverage,
            "accuracy": chosen.accuracy.value,
            "accuracy_interval": [chosen.accuracy.low, chosen.accuracy.high],
        },
        "nearly_all": float(curve.shares[most]),
        "accuracy_of_nearly_all": float(curve.accuracy[most]),
    }


def _ensembling(members: Sequence[Logits], judged: Judged, voices: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """How far the members agree, and what the ensemble made of their choices."""
    rescues, groups = {}, {}
    for of in members:
        places, name = np.searchsorted(judged.rows, of.rows), of.member.name
        groups[name] = _series(of)
        rescues[name] = evaluation.rescue(of.oof.argmax(axis=1), judged.chosen[places], judged.targets[places])
    hits = np.stack(list(voices.values())) == judged.targets
    test = np.stack([of.test.argmax(axis=1) for of in members])
    together = evaluation.grouped(rescues, groups)
    return {
        "agreement": {
            "test": _agreement([of.member.name for of in members], test),
            "out_of_fold": _agreement(list(voices), np.stack(list(voices.values()))),
        },
        "rescued": {
            "members": {name: dataclasses.asdict(of) for name, of in rescues.items()},
            "architectures": {name: dataclasses.asdict(of) for name, of in together.items()},
            "all_wrong": int((~hits.any(axis=0)).sum()),
            "some_wrong": int((~hits.all(axis=0)).sum()),
            "mistakes_with_a_member_right": int((hits.any(axis=0) & ~judged.right).sum()),
        },
    }


def _agreement(names: list[str], choices: np.ndarray) -> dict[str, Any]:
    shares = evaluation.agreement(choices)
    return {"members": names, "mean": evaluation.mean_agreement(shares), "shares": shares.tolist()}


# --- files -------------------------------------------------------------------------------------------------


def _figures(
    run: Run,
    stages: Mapping[str, Judged],
    record: Mapping[str, Any],
    voices: Mapping[str, np.ndarray],
) -> Iterator[tuple[str, Figure]]:
    """Every figure with the name of its file."""
    judged, classes = stages[SCALED], run.dataset.classes
    counts = np.array(record["confusion"])
    overall = Interval(record["accuracy"], *record["accuracy_interval"])
    yield "confusion", confusion.confusion_matrix(counts, classes)
    yield "digits", figures.digit_scores(evaluation.by_digit(counts), classes, overall)
    yield "mistakes", _mistake_sheet(judged, run.dataset)
    yield "confidence", figures.confidence_histogram(judged.confidence, judged.right)
    shown = {name: (of.confidence, of.right) for name, of in stages.items()}
    errors = {name: of["ece"] for name, of in record["calibration"]["stages"].items()}
    yield "reliability", figures.reliability_diagram(shown, errors)
    yield "coverage", figures.coverage_curve(evaluation.coverage(judged.confidence, judged.right), PROMISED)
    yield "agreement", figures.agreement_matrix(_matrices(record["agreement"]))
    rescues = {name: evaluation.Rescue(**of) for name, of in record["rescued"]["architectures"].items()}
    yield "rescued", figures.rescued_bars(rescues, record["mistakes"])
    yield "history", history.fold_histories(_histories(run))


def _mistake_sheet(judged: Judged, dataset: Dataset) -> Figure:
    shown = judged.mistakes[:SHEET]
    beliefs, classes = judged.beliefs, dataset.classes
    captions = [
        f"a {classes[judged.targets[place]]}, row {judged.rows[place]}\n"
        f"{classes[first]}: {beliefs[place, first]:.3f}  {classes[second]}: {beliefs[place, second]:.3f}"
        for place, first, second in zip(shown, judged.chosen[shown], judged.second[shown], strict=True)
    ]
    count = len(judged.mistakes)
    title = f"{count:,} of {len(judged.rows):,} out-of-fold rows are wrong" if count else "No out-of-fold row is wrong"
    note = "over each image its label and row of train.csv, then the two most probable digits; the surest mistake first"
    if not count:
        note = "the ensemble chose the label of every row that it had not seen"
    if len(shown) < count:
        note += f"; the first {len(shown):,} are shown"
    columns = max(COLUMNS, isqrt(len(shown) // 2))
    return sheets.sheet(dataset.train_images[judged.rows[shown]], captions, title, note, columns)


def _matrices(agreement: Mapping[str, Any]) -> dict[str, tuple[list[str], np.ndarray]]:
    """The matrices that the figure shows: out of fold only where several members judge the same rows."""
    titles = {"test": "test rows", "out_of_fold": "out-of-fold rows"}
    return {
        title: (agreement[rows]["members"], np.array(agreement[rows]["shares"]))
        for rows, title in titles.items()
        if rows == "test" or len(agreement[rows]["members"]) > 1
    }


def _histories(run: Run) -> dict[str, dict[int, list[np.ndarray]]]:
    """How training went, by architecture and fold."""
    histories: dict[str, dict[int, list[np.ndarray]]] = {}
    for member in run.members:
        folds = histories.setdefault(member.architecture, {})
        folds.setdefault(member.fold, []).append(run.history(member))
    return histories


def _write_digits(run: Run, record: Mapping[str, Any]) -> None:
    header = ["digit", "support", "predicted"]
    for name in ("precision", "recall", "f1"):
        header += [name, f"{name}_low", f"{name}_high"]
    lines = []
    for digit in record["digits"]:
        scores = [of for name in ("precision", "recall", "f1") for of in (digit[name], *digit[f"{name}_interval"])]
        lines.append([digit["digit"], digit["support"], digit["predicted"], *map(_told, scores)])
    records.write_csv(run.evaluation / "digits.csv", header, lines)


def _told(score: float) -> str:
    return "" if np.isnan(score) else f"{score:.6f}"


def _write_mistakes(run: Run, judged: Judged, classes: np.ndarray, voices: Mapping[str, np.ndarray]) -> None:
    places = judged.mistakes
    first, second, support = judged.chosen[places], judged.second[places], _support(judged, voices)[places]
    columns = {
        "row": judged.rows[places],
        "label": classes[judged.targets[places]],
        "first": classes[first],
        "first_probability": [f"{value:.6f}" for value in judged.beliefs[places, first]],
        "second": classes[second],
        "second_probability": [f"{value:.6f}" for value in judged.beliefs[places, second]],
        "member_agreement": [f"{value:.2f}" for value in support],
    }
    records.write_csv(run.evaluation / "mistakes.csv", list(columns), zip(*columns.values(), strict=True))


# --- what is printed ---------------------------------------------------------------------------------------


def _print(run: Run, record: dict[str, Any]) -> None:
    out = console()
    out.print(_digit_table(run, record))
    table = Table(show_header=False)
    for name, text in _lines(record):
        table.add_row(name, text)
    if run.config.tuned_on == run.dataset.fingerprint:
        table.add_row("tuned", "the config was chosen on these rows, so the scores above are optimistic (see README)")
    table.add_row("time", duration(sum(record["seconds"].values())))
    out.print(table)
    out.print(f"Written: {run.evaluation}", soft_wrap=True)


def _digit_table(run: Run, record: dict[str, Any]) -> Table:
    table = Table(title=f"digits of run {run.folder}, out of fold", title_justify="left")
    for heading in ("digit", "rows", "precision", "recall", "F1", "95 % interval of F1", "most often taken for"):
        table.add_column(heading)
    for digit, counts in zip(record["digits"], record["confusion"], strict=True):
        scores = ["-" if digit[name] is None else f"{digit[name]:.4f}" for name in ("precision", "recall", "f1")]
        low, high = digit["f1_interval"]
        taken = _taken(digit["digit"], counts, record["classes"])
        table.add_row(str(digit["digit"]), f"{digit['support']:,}", *scores, f"{low:.4f} to {high:.4f}", taken)
    return table


def _taken(label: int, counts: list[int], classes: list[int]) -> str:
    others = {of: count for of, count in zip(classes, counts, strict=True) if of != label and count}
    if not others:
        return "-"
    most = max(others, key=others.__getitem__)
    return f"{most} ({others[most]} of {sum(others.values())})"


def _lines(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    low, high = record["accuracy_interval"]
    told = f"95 % interval {low:.5f} to {high:.5f}; {record['mistakes']:,} of {record['rows']:,} rows wrong"
    yield "OOF accuracy", f"{record['accuracy']:.5f}, {told}"
    pairs = [f"{pair['digits'][0]} and {pair['digits'][1]} ({pair['rows']})" for pair in record["confused"]]
    yield "most often confused", ", ".join(pairs[:PAIRS_TOLD]) or "none"
    yield "calibration error (ECE)", "\n".join(_errors(record["calibration"]))
    yield from _covered(record["coverage"])
    for rows, words in (("test", "test rows"), ("out_of_fold", "OOF rows")):
        mean = record["agreement"][rows]["mean"]
        if mean is not None:
            yield f"agreement of two members, {words}", f"{mean:.5f}"
    for name, of in record["rescued"]["architectures"].items():
        if len(record["rescued"]["architectures"]) > 1:
            yield f"ensemble against {name}", f"rescued {of['rescued']}, spoilt {of['spoilt']} of {of['rows']:,} rows"


def _errors(calibration: dict[str, Any]) -> Iterator[str]:
    for name, of in calibration["stages"].items():
        yield f"{of['ece']:.5f} {name} (chance alone gives {of['if_calibrated']:.5f})"
    if not calibration["cross_fitted"]:
        yield "one fold alone: there are no other rows to fit temperatures on, all of them are 1"


def _covered(coverage: dict[str, Any]) -> Iterator[tuple[str, str]]:
    told = f"{coverage['coverage']:.2%} of the rows"
    if coverage["threshold"] is not None:
        told += f", those with a confidence of {coverage['threshold']:.4f} or more"
    of = coverage["cross_fitted"]
    if of and of["coverage"]:
        told += f"\n(threshold from the other folds: {of['coverage']:.2%}, accuracy {of['accuracy']:.5f})"
    yield f"accuracy {coverage['promised_accuracy']:.1%} holds for", told
    yield f"the surest {coverage['nearly_all']:.1%}", f"accuracy {coverage['accuracy_of_nearly_all']:.5f}"
