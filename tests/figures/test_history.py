"""The training-history figure."""

import numpy as np
from matplotlib import rcParams

from digits.figures.history import training_history

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
    assert "3 members; held-out error after the last epoch 0.00% to 2.00%" in figure.get_supxlabel()


def test_a_perfect_member_is_drawn_too(tmp_path):
    figure = training_history({"small-s0-f0": history(1, 1.0)})
    figure.savefig(tmp_path / "x.png")
    assert all((line.get_ydata() > 0).all() for line in figure.axes[1].lines)


def test_the_house_style_stays_in_the_house():
    before = dict(rcParams)
    training_history({"small-s0-f0": history(2, 0.9)})
    assert dict(rcParams) == before
