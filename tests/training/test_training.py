"""Training one network: it learns, resumes exactly, and averages."""

import dataclasses

import numpy as np
import pytest

from digits import config
from digits.data import Rows, Split
from digits.data.demo import demo
from digits.errors import UserError
from digits.models import build
from digits.seeds import derive
from digits.training import backend

backend.start(threads=1)  # as everywhere: the tests of one process share its TensorFlow
from digits.training import loop  # noqa: E402  after TensorFlow was given its threads
from digits.training.augment import views  # noqa: E402
from digits.training.callback import Callback  # noqa: E402

SEED = derive(1, "test")
NO_AUGMENTATION = {"rotation": 0.0, "shift": 0.0, "zoom": 0.0, "shear": 0.0}
ROWS = demo().rows
SPLIT = Split(ROWS, *np.split(np.arange(len(ROWS)), [600]))
HELD_OUT = ROWS.take(SPLIT.held_out)


class Killed(Exception):
    """Stands for SIGKILL between two epochs; the tests of the command line send real ones."""


class Listener(Callback):
    def __init__(self, die_after):
        self.die_after = die_after
        self.shares = []

    def within_epoch(self, epoch, share):
        self.shares.append(epoch + share)

    def after_epoch(self, row, images):
        assert self.shares == sorted(self.shares)
        assert 500 <= images <= 600
        if row["epoch"] == self.die_after:
            raise Killed


def fit(checkpoint, net="mlp", die_after=None, augmentation=None, split=SPLIT, **recipe):
    training = {"epochs": 4, "batch_size": 50, "monitor_rows": None, "ema": 0.0, **recipe}
    augmentation = augmentation or NO_AUGMENTATION | {"rotation": 10.0, "shift": 0.05}
    settings = config.parse({"architectures": [net], "training": training, "augmentation": augmentation}, "test")
    precision, rows = settings.training.precision.replace("auto", "float32"), split.rows
    model = build(settings.architectures[0], rows.images.shape[1:], rows.classes, precision, seed=3)
    history = loop.fit(model, settings, split, SEED, checkpoint, Listener(die_after))
    return history, loop.predictor(model)(rows.images[split.held_out])[0]


def column(history, name):
    return history[:, loop.HISTORY.index(name)]


@pytest.mark.parametrize("optimizer", loop.OPTIMIZERS)
def test_every_optimizer_learns(tmp_path, optimizer):
    rates = {"sgd": 0.05, "adadelta": 1.0, "rmsprop": 0.001}
    settings = {"name": optimizer, "learning_rate": rates.get(optimizer, 0.002), "weight_decay": 1e-4}
    history, _ = fit(tmp_path / "c.npz", epochs=6, optimizer=settings)
    assert column(history, "held_out_accuracy")[-1] > 0.85


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param({"net": "mlp", "ema": 0.9}, id="average"),
        pytest.param(
            {"net": "deep", "precision": "mixed_bfloat16", "epochs": 3}, id="batch-norm", marks=pytest.mark.slow
        ),
        pytest.param(
            {"net": {"net": "mlp", "options": {"width": 32}}, "precision": "mixed_float16", "epochs": 3},
            id="loss-scale",  # tiny, for processors emulate float16
        ),
        pytest.param({"clean_epochs": 1, "ema": 0.9}, id="clean"),
        pytest.param(
            {"schedule": {"name": "plateau", "patience": 1}, "optimizer": {"learning_rate": 0.02}}, id="plateau"
        ),
    ],
)
def test_resumed_after_a_kill_it_ends_in_the_same_bytes(tmp_path, recipe):
    history, logits = fit(tmp_path / "whole.npz", **recipe)
    for epoch in (1, 2):
        with pytest.raises(Killed):
            fit(tmp_path / "killed.npz", die_after=epoch, **recipe)
    resumed_history, resumed = fit(tmp_path / "killed.npz", **recipe)
    assert np.array_equal(logits, resumed)
    timeless = slice(0, loop.HISTORY.index("seconds"))
    assert np.array_equal(history[:, timeless], resumed_history[:, timeless], equal_nan=True)


def test_clean_epochs_see_the_images_as_they_are(tmp_path, monkeypatch):
    augmented = []
    monkeypatch.setattr(loop, "augment", lambda images, *others: augmented.append(1) or images[others[-1]])
    history, _ = fit(tmp_path / "c.npz", clean_epochs=2, clean_rate=1e-4)
    assert len(augmented) == 2
    assert column(history, "learning_rate")[2:] == pytest.approx([1e-4, 1e-4])


@pytest.mark.parametrize("damage", [b"", b"rubbish", "half"])
def test_a_damaged_checkpoint_starts_anew_and_says_so(tmp_path, damage, caplog):
    _, logits = fit(tmp_path / "c.npz")
    content = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(content[: len(content) // 2] if damage == "half" else damage)
    _, again = fit(tmp_path / "c.npz")
    assert np.array_equal(logits, again)
    assert "cannot be used, training starts anew" in caplog.text


def test_a_checkpoint_of_another_network_is_not_used(tmp_path, caplog):
    fit(tmp_path / "c.npz", net="small", epochs=1)
    fit(tmp_path / "c.npz", net="mlp", epochs=1)
    assert "cannot be used" in caplog.text


def test_a_diverging_recipe_is_one_line(tmp_path):
    with pytest.raises(UserError, match="diverged in epoch 1; lower training"):
        fit(tmp_path / "c.npz", optimizer={"name": "sgd", "learning_rate": 1e9})


def test_early_stopping_watches_rows_from_inside_the_training_fold(tmp_path):
    recipe = {"optimizer": {"name": "sgd", "learning_rate": 1e-30}, "early_stopping": {"patience": 2}}
    history, _ = fit(tmp_path / "c.npz", epochs=30, **recipe)
    assert len(history) < 30
    assert np.isfinite(column(history, "watched_loss")).all()


def test_an_inner_split_too_small_for_every_class_is_one_line(tmp_path):
    with pytest.raises(UserError, match="inner_split holds back 6 of 600 rows"):
        fit(tmp_path / "c.npz", early_stopping={"patience": 2, "inner_split": 0.01})
    nines = np.flatnonzero(ROWS.targets[SPLIT.learned] == 9)
    one_nine = dataclasses.replace(SPLIT, learned=np.delete(SPLIT.learned, nines[1:]))
    with pytest.raises(UserError, match="every class needs one there and one to learn from"):
        fit(tmp_path / "c.npz", split=one_nine, early_stopping={"patience": 2, "inner_split": 0.2})


def test_held_out_rows_decide_nothing(tmp_path):
    """The same training, scored on other rows: the same network."""
    _, logits = fit(tmp_path / "a.npz", monitor_rows=None)
    _, fewer = fit(tmp_path / "b.npz", monitor_rows=10)
    assert np.array_equal(logits, fewer)


def test_label_smoothing_bounds_the_confidence(tmp_path):
    _, sure = fit(tmp_path / "a.npz", epochs=6, label_smoothing=0.0, augmentation=NO_AUGMENTATION)
    _, smooth = fit(tmp_path / "b.npz", epochs=6, label_smoothing=0.2, augmentation=NO_AUGMENTATION)
    spread = [np.ptp(logits, axis=1).mean() for logits in (sure, smooth)]
    assert spread[1] < 0.7 * spread[0]


def test_the_average_follows_the_weights_and_is_what_is_kept(tmp_path):
    """At a constant rate the averaged weights jitter less: their loss changes less between epochs."""
    recipe = {"epochs": 8, "schedule": {"name": "constant"}, "optimizer": {"learning_rate": 0.01}}
    raw, _ = fit(tmp_path / "a.npz", **recipe)
    averaged, logits = fit(tmp_path / "b.npz", ema=0.95, **recipe)
    assert column(averaged, "held_out_loss")[-3:].std() < column(raw, "held_out_loss")[-3:].std()
    final = float((logits.argmax(axis=1) == HELD_OUT.targets).mean())
    assert final == pytest.approx(column(averaged, "held_out_accuracy")[-1])


def test_colour_images_of_any_shape_are_learned(tmp_path):
    """The class is the channel that is lit."""
    draw = np.random.default_rng(0)
    targets = np.arange(600, dtype=np.int32) % 3
    images = draw.integers(0, 60, (600, 10, 12, 3)).astype(np.uint8)
    images[np.arange(600), :, :, targets] += 120
    split = Split(Rows(images, targets, 3), *np.split(np.arange(600), [550]))
    history, _ = fit(tmp_path / "c.npz", split=split)
    assert column(history, "held_out_accuracy")[-1] == 1.0


def test_views_of_test_time_augmentation():
    images = np.zeros((1, 5, 5, 2), np.uint8)
    images[0, 2, 2, 1] = 9
    spots = [np.argwhere(view[0]).tolist() for view in views(images, "shifts")]
    assert sorted(spots) == [[[1, 2, 1]], [[2, 1, 1]], [[2, 2, 1]], [[2, 3, 1]], [[3, 2, 1]]]


def test_unsure_images_alone_are_seen_in_all_views():
    images = np.zeros((9, 8, 8, 1), np.uint8)
    images[2, 0, 0] = 60  # a faint one, in a corner out of which a view moves it
    seen = []

    def predict(batch):
        seen.append(len(batch))
        brightness = batch.max(axis=(1, 2)).astype(np.float32)
        return np.concatenate([100 - brightness, brightness], axis=1), brightness

    plain, features = loop.predict_with(predict, images, "none")
    logits, same = loop.predict_with(predict, images, "shifts")
    assert seen == [9, 9, 1, 1, 1, 1, 1]
    assert np.array_equal(features, same)
    sure = np.arange(9) != 2
    assert np.array_equal(plain[sure], logits[sure])
    assert plain[2].tolist() == [40, 60]
    assert logits[2].tolist() == [64, 36]  # of five views, two lose it
