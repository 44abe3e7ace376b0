"""How good the predictions are, how far they can be believed, and what the members add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from digits.ensemble.interval import Interval
from digits.figures.style import PALETTE, canvas, caption, confidence_axis, log_percent, styled
from digits.stages.evaluate.measures import Bins, Coverage, Digit, Rescue, binned

WIDTHS = np.arange(0.1, 0.95, 0.1)  # edges of the bins on a plain axis of confidence
LEAST = 1e-8  # doubt that is told from none: the logits were float32
STAGES = (PALETTE[1], PALETTE[0], PALETTE[2])
MARKS = ("s", "o", "D")
SIZES = (5, 9, 4)  # so that one shows through where two are the same
NAMED = 12  # members whose shares are written into the matrix in a size that can be read


@styled
def digit_scores(digits: Sequence[Digit], classes: np.ndarray, overall: Interval) -> Figure:
    """Precision, recall and F1 of every digit with their 95 % intervals; a digit without rows has no dot.

    Args:
        digits: in the order of the classes.
        classes: labels (classes,).
        overall: accuracy of all rows.
    """
    figure, panels = canvas(3, width=3.9, height=0.34 * len(classes) + 1.9)
    places = np.arange(len(classes))
    for axes, name in zip(panels, ("precision", "recall", "f1"), strict=True):
        scores = [getattr(digit, name) for digit in digits]
        for place, score in zip(places, scores, strict=True):
            if np.isfinite(score.value):
                axes.plot([score.low, score.high], [place, place], color=PALETTE[0], lw=2, alpha=0.45)
                axes.plot(score.value, place, "o", color=PALETTE[0], ms=5)
        axes.axvline(overall.value, color="#444444", ls="--", lw=0.8)
        axes.set(title="F1" if name == "f1" else name.capitalize(), ylim=(len(classes) - 0.5, -0.5))
        axes.set_yticks(places, classes)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set_ylabel("digit")
    told = f"dashed: accuracy {overall.value:.3%}, 95 % interval {overall.low:.3%} to {overall.high:.3%}"
    caption(figure, f"{_extremes(digits, classes)}; lines: 95 % intervals; {told}")
    return figure


def _extremes(digits: Sequence[Digit], classes: np.ndarray) -> str:
    """Which digit has the lowest F1 and which the highest, and whether chance may have told them apart."""
    known = [(digit.f1, label) for digit, label in zip(digits, classes, strict=True) if np.isfinite(digit.f1.value)]
    if len({score.value for score, _ in known}) == 1:
        return f"F1 is {known[0][0].value:.2%} for every digit"
    lowest, highest = (choose(known, key=lambda of: of[0].value) for choose in (min, max))
    told = f"F1 is lowest for {lowest[1]} ({lowest[0].value:.2%}), highest for {highest[1]} ({highest[0].value:.2%})"
    return told if lowest[0].high < highest[0].low else f"{told}, and their intervals overlap"


@styled
def reliability_diagram(stages: Mapping[str, tuple[np.ndarray, np.ndarray]], errors: Mapping[str, float]) -> Figure:
    """How often the choices are right against how sure they are; left all rows, right by the nines.

    Args:
        stages: confidence float (n,) and rightness bool (n,) at most three times, such as before and after scaling.
        errors: expected calibration error of each.
    """
    figure = Figure(figsize=(11.5, 6.6), layout="constrained")
    (plain, nines), (below, rows) = figure.subplots(2, 2, height_ratios=(3, 1), sharex="col")
    plain.plot([0, 1], [0, 1], color="#444444", ls="--", lw=0.8)
    nines.plot([1, LEAST], [1, LEAST], color="#444444", ls="--", lw=0.8)
    least, lowest = 1.0, 1.0
    for number, (name, (confidence, right)) in enumerate(stages.items()):
        look = {"color": STAGES[number], "marker": MARKS[number], "ms": SIZES[number], "lw": 1}
        bins = binned(confidence, right, WIDTHS)
        span = np.abs(np.array([bins.low, bins.high]) - bins.accuracy)
        plain.errorbar(bins.confidence, bins.accuracy, span, label=f"{name}: ECE {errors[name]:.4f}", **look)
        below.plot(bins.confidence, bins.rows, **look)
        bins = binned(confidence, right, _nines(confidence))
        _draw_doubt(nines, bins, look)
        doubt = np.maximum(1 - bins.confidence, LEAST)
        rows.plot(doubt, bins.rows, **look)
        least, lowest = min(least, doubt.min()), min(lowest, _lowest(bins))
    plain.set(title="All confidences", xlim=(0, 1), ylim=(0, 1.02), ylabel="share that was right")
    plain.legend(fontsize=8, loc="lower right")
    below.set(xlabel="confidence", ylabel="rows", yscale="log")
    for axis in (plain.yaxis, below.xaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    nines.set(title="By the nines of confidence", yscale="log", ylim=(lowest / 2, 1), ylabel="share that was wrong")
    log_percent(nines.yaxis)
    rows.set(ylabel="rows", yscale="log")
    confidence_axis(rows, least / 2)
    caption(figure, _told(stages, errors))
    return figure


def _nines(confidence: np.ndarray) -> np.ndarray:
    """Inner edges of bins between 50 %, 90 %, 99 %, ..., three to a decade, as far as there are rows."""
    least = max(LEAST, float((1 - confidence).min()))
    steps = np.arange(0, np.ceil(-3 * np.log10(least)) + 1)
    return 1 - 10 ** (-steps[1:] / 3)


def _draw_doubt(axes: Axes, bins: Bins, look: Mapping[str, object]) -> None:
    """The share of wrong rows by doubt; a bin without any shows how many there might be, by an arrow down."""
    doubt, wrong = np.maximum(1 - bins.confidence, LEAST), 1 - bins.accuracy
    some = wrong > 0
    span = np.abs(1 - np.array([bins.high, bins.low]) - wrong)
    axes.errorbar(doubt[some], wrong[some], span[:, some], **look)
    axes.plot(doubt[~some], 1 - bins.low[~some], color=look["color"], marker="v", ms=5, ls="none", mfc="white")


def _lowest(bins: Bins) -> float:
    """The lowest share of wrong rows that the axis has to show."""
    shown = np.where(bins.accuracy < 1, 1 - bins.high, 1 - bins.low)
    return float(shown[shown > 0].min())


def _told(stages: Mapping[str, tuple[np.ndarray, np.ndarray]], errors: Mapping[str, float]) -> str:
    told = [
        f"{name}: mean confidence {confidence.mean():.3%}, {right.mean():.3%} right, ECE {errors[name]:.4f}"
        for name, (confidence, right) in stages.items()
    ]
    marks = "bars: 95 % intervals; open triangles: no mistake in the bin, the upper end of its interval"
    return f"{'; '.join(told)}. On the dashed line confidence is true; {marks}"


@styled
def confidence_histogram(confidence: np.ndarray, right: np.ndarray) -> Figure:
    """How sure the ensemble was of its right and of its wrong choices: float (n,) and bool (n,)."""
    figure, (axes,) = canvas(1, width=7.5, height=4.2)
    doubt = np.maximum(1 - confidence, LEAST)
    least = 10 ** np.floor(np.log10(doubt.min()))
    edges = 10 ** np.arange(np.log10(least), 0.05, 0.1)
    axes.hist(doubt[right], edges, color=PALETTE[0], alpha=0.55, label=f"right: {right.sum():,}")
    axes.hist(doubt[~right], edges, color=PALETTE[1], alpha=0.85, label=f"wrong: {(~right).sum():,}")
    axes.set(yscale="log", ylim=(0.7, None), ylabel="rows")
    confidence_axis(axes, least)
    axes.legend(loc="upper left")
    caption(figure, _sure(confidence, right))
    return figure


def _sure(confidence: np.ndarray, right: np.ndarray) -> str:
    told = f"{(confidence > 0.99).mean():.1%} of the rows have a confidence above 99 %"
    if right.all():
        return f"{told}; no row is wrong"
    wrong = confidence[~right]
    many, most = (wrong > 0.9).sum(), (wrong > 0.99).sum()
    return f"{told}; {many} of the {len(wrong):,} mistakes have one above 90 %, {most} above 99 %"


@styled
def coverage_curve(curve: Coverage, promised: float) -> Figure:
    """The error rate where only the most confident rows are judged, over all rows and over the last few.

    Args:
        curve: of all rows.
        promised: accuracy whose coverage is marked.
    """
    figure, (left, right) = canvas(2, width=5.6, height=4.2)
    point = curve.widest(promised)
    first = 0.9 if point is None else max(0.0, min(0.95, curve.shares[point] - 0.01))
    for axes in (left, right):
        _draw_coverage(axes, curve, promised)
        axes.set(xlabel="rows judged, the most confident first", yscale="log")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    left.set(title="All rows", ylabel="share of them that is wrong", xlim=(0, 1.01))
    right.set(title="The last rows", xlim=(first, 1 + (1 - first) / 50))
    for place in _marked(curve, promised):
        text = f"  {curve.accuracy[place]:.3%} right of {curve.shares[place]:.2%}  "
        side = "right" if curve.shares[place] > (1 + first) / 2 else "left"
        right.annotate(text, (curve.shares[place], 1 - curve.accuracy[place]), ha=side, va="bottom")
    heights = np.append(1 - curve.accuracy[curve.shares >= first], 1 - promised)
    right.set_ylim(heights[heights > 0].min() / 1.6, heights.max() * 1.6)
    for axes in (left, right):
        log_percent(axes.yaxis)
    caption(figure, _judged(curve, promised))
    return figure


def _draw_coverage(axes: Axes, curve: Coverage, promised: float) -> None:
    shown = curve.accuracy < 1  # a logarithmic axis has no place for none
    axes.plot(curve.shares[shown], 1 - curve.accuracy[shown], color=PALETTE[0], lw=1.6)
    axes.axhline(1 - promised, color="#444444", ls="--", lw=0.8)
    marked = _marked(curve, promised)
    axes.plot(curve.shares[marked], 1 - curve.accuracy[marked], "o", color=PALETTE[1])


def _marked(curve: Coverage, promised: float) -> list[int]:
    """Points that get a dot: where the promise ends, and where nearly all rows are judged."""
    point = curve.widest(promised)
    places = {curve.at(0.99)} | ({point} if point is not None else set())
    return [place for place in sorted(places) if curve.accuracy[place] < 1]


def _judged(curve: Coverage, promised: float) -> str:
    if curve.accuracy[-1] == 1:
        return f"no row is wrong: an accuracy of {promised:.1%} (dashed) holds for all {curve.rows[-1]:,} of them"
    point, most = curve.widest(promised), curve.at(0.99)
    share, accuracy = curve.shares[most], curve.accuracy[most]
    last = f"the surest {share:.1%} are {accuracy:.3%} right, all rows {curve.accuracy[-1]:.3%}"
    if point is None:
        return f"an accuracy of {promised:.1%} (dashed) is never reached; {last}"
    above = f"those with a confidence of {curve.threshold[point]:.4f} or more"
    return f"an accuracy of {promised:.1%} (dashed) holds for {curve.shares[point]:.2%} of the rows, {above}; {last}"


@styled
def agreement_matrix(groups: Mapping[str, tuple[Sequence[str], np.ndarray]]) -> Figure:
    """How often two members choose differently, a panel for each kind of rows.

    Args:
        groups: by the title of a panel the names (m,) and the shares of equal choices, float (m, m), NaN where two have
            no row in common.
    """
    sides = [max(4.6, 0.36 * len(names) + 2.2) for names, _ in groups.values()]
    figure = Figure(figsize=(sum(sides), max(sides) * 0.92 + 0.5), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False, width_ratios=sides)[0]
    apart = np.concatenate([1 - shares[~np.eye(len(shares), dtype=bool)] for _, shares in groups.values()])
    apart = apart[np.isfinite(apart)]
    norm = Normalize(0.8 * apart.min(), apart.max()) if apart.any() else Normalize(0, 1)
    for axes, (title, (names, shares)) in zip(panels, groups.items(), strict=True):
        differing = np.where(np.eye(len(shares), dtype=bool), np.nan, 1 - shares)
        axes.imshow(differing, cmap="Blues", norm=norm)
        size = 9 if len(names) <= NAMED else 6
        for (row, column), share in np.ndenumerate(differing):
            if np.isfinite(share):
                colour = "white" if norm(share) > 0.6 else "black"
                text = f"{100 * share:.2f}"
                axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.grid(visible=False)
    told = [_apart(title, names, shares) for title, (names, shares) in groups.items()]
    caption(figure, f"in every cell the rows (%) on which two choose differently; {'; '.join(told)}")
    return figure


def _apart(title: str, names: Sequence[str], shares: np.ndarray) -> str:
    pairs = np.where(np.triu(np.ones(shares.shape, bool), 1), 1 - shares, np.nan)
    if not np.isfinite(pairs).any():
        return f"{title}: there is no pair"
    row, column = np.unravel_index(np.nanargmax(pairs), pairs.shape)
    most = f"{names[row]} and {names[column]} ({np.nanmax(pairs):.2%})"
    return f"{title}: {np.nanmean(pairs):.2%} on average, most {most}"


@styled
def rescued_bars(rescues: Mapping[str, Rescue], mistakes: int) -> Figure:
    """What the ensemble rescued and spoilt out of fold, against each network of an architecture and seed.

    Args:
        rescues: by architecture and seed, all folds together.
        mistakes: of the ensemble.
    """
    figure, (axes,) = canvas(1, width=8, height=0.6 * len(rescues) + 2)
    places = np.arange(len(rescues))
    rescued, spoilt = (np.array([getattr(of, name) for of in rescues.values()]) for name in ("rescued", "spoilt"))
    axes.barh(places, rescued, color=PALETTE[2], height=0.55, label="rescued: it was wrong, the ensemble is right")
    axes.barh(places, -spoilt, color=PALETTE[1], height=0.55, label="spoilt: it was right, the ensemble is wrong")
    for place, of in enumerate(rescues.values()):
        axes.annotate(f" {of.rescued}", (of.rescued, place), va="center", ha="left")
        axes.annotate(f"{of.spoilt} ", (-of.spoilt, place), va="center", ha="right")
    reach = max(1, *rescued, *spoilt)
    axes.set_yticks(places, [f"{name}\n{of.mistakes:,} mistakes alone" for name, of in rescues.items()])
    axes.set(xlabel="out-of-fold rows", xlim=(-spoilt.max() - reach / 7, reach * 8 / 7))
    axes.set_ylim(len(rescues) - 0.5, -0.5)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    caption(figure, _rescued(rescues, mistakes))
    return figure


def _rescued(rescues: Mapping[str, Rescue], mistakes: int) -> str:
    told = f"the ensemble has {mistakes:,} mistakes"
    if len(rescues) == 1:
        return f"{told}; each row has one network that never saw it, so out of fold there is nothing to rescue"
    best, worst = (choose(rescues, key=lambda name: rescues[name].mistakes) for choose in (min, max))
    few, many = rescues[best].mistakes, rescues[worst].mistakes
    return f"{told}; alone, {best} has the fewest ({few:,}) and {worst} the most ({many:,})"
