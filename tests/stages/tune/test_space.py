"""Search spaces: what can be searched, and what is refused by name."""

from pathlib import Path

import keras_tuner
import pytest
import yaml

from digits import config
from digits.config import Config
from digits.errors import UserError
from digits.stages.tune import space
from digits.stages.tune.space import Range

SMALL = config.parse({"architectures": ["small"]}, "test")
RATE = {"training.optimizer.learning_rate": {"float": [0.001, 0.1], "log": True}}


def _load(tmp_path: Path, text: str, *overrides: str):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    return space.load(file, Config(), list(overrides))


@pytest.mark.parametrize("file", sorted(Path("configs/spaces").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_space_of_the_project_is_valid_and_begins_with_its_base(file):
    loaded = space.load(file, Config(), [])
    space.check_options(loaded, str(file))
    own = loaded.own_values()
    assert own is not None
    assert loaded.config(own) == loaded.base


def test_values_become_a_config(tmp_path):
    loaded = _load(
        tmp_path,
        """
set: {training: {epochs: 3}}
search:
  training.optimizer.learning_rate: {float: [0.001, 0.1], log: true}
  training.batch_size: {int: [32, 128], step: 32}
  architectures: {choice: [[small], [{net: default, options: {width: 0.5}}]]}
  training.schedule.name: {choice: [one_cycle, cosine]}
""",
        "training.ema=0",
    )
    hyperparameters = keras_tuner.HyperParameters()
    loaded.declare(hyperparameters)
    values = {of.name: of.random_sample(3) for of in hyperparameters.space}
    made = loaded.config(values | {"tuner/epochs": 2, "search": "{}"})
    assert made.training.epochs == 2
    assert made.training.ema == 0
    assert 0.001 <= made.training.optimizer.learning_rate <= 0.1
    assert made.training.batch_size in (32, 64, 96, 128)
    assert made.architectures[0].net in ("small", "default")
    assert made.training.schedule.name in ("one_cycle", "cosine")


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ({"training.learning_rate": {"float": [0.1, 0.2]}}, "unknown key 'training.learning_rate'"),
        ({"training.epochs": {"int": [0, 3]}}, "training.epochs"),
        ({"training.epochs": {"int": [3, 1]}}, "no range from low to high"),
        ({"training.epochs": {"int": [1, 3], "float": [1, 3]}}, "one of choice, int and float"),
        ({"training.epochs": {"between": [1, 3]}}, "between"),
        ({"training.epochs": [1, 3]}, "training.epochs"),
        ({"training.ema": {"float": [0.0, 0.9], "log": True}}, "above zero"),
        ({"training.batch_size": {"choice": [32]}}, "batch_size"),
        ({"training.batch_size": {"choice": [32, 32]}}, "stands twice"),
        ({"training.optimizer.name": {"choice": ["adam", "magic"]}}, "magic"),
        ({"architectures.7.options.width": {"float": [0.5, 1.0]}}, "list items"),
        ({"folds.count": {"int": [2, 5]}}, "cannot be searched"),
        ({"tune.folds": {"int": [2, 5]}}, "cannot be searched"),
        ({"data.corrections": {"choice": ["a.csv", "b.csv"]}}, "cannot be searched"),
    ],
)
def test_what_cannot_be_searched_is_named(ranges, words):
    with pytest.raises(UserError) as told:
        space.parse(ranges, SMALL, "my.yaml")
    assert words in str(told.value)
    assert "my.yaml" in str(told.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected 'search:'"),
        ("search: {}", "expected 'search:'"),
        ("find: {training.epochs: {int: [1, 3]}}", "unknown key 'find'"),
        ("search: [", "not valid YAML"),
        ("set: {training: {epoch: 3}}\nsearch: {training.epochs: {int: [1, 3]}}", "unknown key 'training.epoch'"),
    ],
)
def test_a_file_that_is_no_space_is_refused(tmp_path, text, words):
    with pytest.raises(UserError) as told:
        _load(tmp_path, text)
    assert words in str(told.value)


def test_an_option_that_no_net_has_is_named():
    searched = space.parse({"architectures.0.options.widht": {"float": [0.5, 1.0]}}, SMALL, "my.yaml")
    with pytest.raises(UserError, match=r"my\.yaml.*no option 'widht'"):
        space.check_options(searched, "my.yaml")


def test_hyperband_decides_the_epochs_itself():
    base = config.replaced(SMALL, {"tune.tuner": "hyperband"}, "test")
    with pytest.raises(UserError, match="hyperband decides"):
        space.parse({"training.epochs": {"int": [1, 3]}}, base, "test")


def test_a_base_outside_its_ranges_has_no_values():
    base = config.replaced(SMALL, {"training.optimizer.learning_rate": 0.5}, "test")
    assert space.parse(RATE, base, "test").own_values() is None


def test_the_record_reads_back_as_the_same_space():
    searched = space.parse(RATE | {"training.batch_size": {"choice": [16, 32]}}, SMALL, "test")
    assert yaml.safe_load(yaml.safe_dump(searched.record())) == searched.record()
    assert space.parse(searched.record(), SMALL, "test") == searched


def test_a_grid_holds_its_steps_alone():
    grid = Range.model_validate({"float": [0.0, 1.0], "step": 0.25})
    assert [value for value in (0.0, 0.25, 0.3, 1.0, 1.25) if grid.holds(value)] == [0.0, 0.25, 1.0]
