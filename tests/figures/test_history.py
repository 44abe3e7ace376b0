"""The figures of training histories."""

import numpy as np
import pytest
from matplotlib import rcParams

from digits.figures.history import captions, fold_histories, training_history

FIELDS = ("epoch", "loss", "accuracy", "held_out_loss", "held_out_accuracy")


def history(epochs: int, last: float) -> np.ndarray:
    rows = np.zeros(epochs, dtype=[(name, float) for name in FIELDS])
    rows["epoch"] = np.arange(1, epochs + 1)
    rows["loss"] = rows["held_out_loss"] = np.linspace(1, 0.1, epochs)
    rows["accuracy"] = rows["held_out_accuracy"] = np.linspace(0.5, last, epochs)
    return rows


def test_every_member_is_drawn_and_every_architecture_named():
    histories = {"small-s0-f0": history(5, 0.98), "small-s0-f1": history(5, 0.99), "mlp-s0-f0": history(3, 1.0)}
    figure = training_history(histories)
    loss, error = figure.axes
    assert loss.get_ylabel() == "log loss (nats)"
    assert [line.get_xdata().max() for line in error.lines] == [5, 5, 5, 5, 3, 3]
    names = [text.get_text() for text in loss.get_legend().get_texts()]
    assert names == [f"{net}, {kind}" for net in ("small", "mlp") for kind in ("held out", "training (augmented)")]


def test_every_fold_has_its_curve(tmp_path):
    folds = {0: [history(4, 0.98)], 1: [history(6, 0.99)]}
    figure = fold_histories(folds)
    _, errors = figure.axes
    assert [len(axes.lines) for axes in figure.axes] == [3, 3]  # and their mean
    mean = errors.lines[-1].get_ydata()
    expected = (folds[0][0]["held_out_accuracy"] + folds[1][0]["held_out_accuracy"][:4]) / 2
    assert mean == pytest.approx(1 - expected)
    figure.savefig(tmp_path / "x.png")
    both = captions({"small": folds, "mlp": {0: [history(6, 0.9)] * 2, 1: [history(1, 0.5)]}})
    assert both["history_small"].title == "Training of small, by epoch"
    assert "1.00% to 2.00%, worst in fold 0" in both["history_small"].text
    assert "10.00% to 50.00%, worst in fold 1" in both["history_mlp"].text


def test_an_epoch_without_a_mistake_is_drawn_at_zero(tmp_path):
    for figure in (training_history({"small-s0-f0": history(3, 1.0)}), fold_histories({0: [history(3, 1.0)]})):
        figure.savefig(tmp_path / "x.png")
        axes = figure.axes[1]
        assert axes.lines[-1].get_ydata()[-1] == 0
        assert axes.get_ylim()[0] < 0
        assert "0%" in [label.get_text() for label in axes.get_yticklabels()]


def test_matplotlibs_settings_stay_as_they_are():
    before = dict(rcParams)
    training_history({"small-s0-f0": history(2, 0.9)})
    assert dict(rcParams) == before
