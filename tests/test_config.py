"""Configs: what is accepted, and what an error says."""

from pathlib import Path

import pytest
import yaml

from digits import config
from digits.errors import UserError

CONFIGS = sorted(path for path in Path("configs").rglob("*.yaml") if path.parent.name != "spaces")


def write(folder: Path, text: str) -> Path:
    path = folder / "some.yaml"
    path.write_text(text)
    return path


def test_default_yaml_states_every_default():
    """The file that explains the settings cannot drift away from the settings."""
    values = yaml.safe_load(Path("configs/default.yaml").read_text())
    stated = config.parse(values, "default").model_dump()
    assert stated == config.Config().model_dump()
    names = {key for key in config.known_keys() if key not in ("architectures",)}
    for key in names:
        node = values
        for part in key.split("."):
            assert part in node, f"{key} is not explained in configs/default.yaml"
            node = node[part]


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_every_shipped_config_is_valid(path):
    assert config.load(path).training.epochs > 0


def test_numbers_may_be_written_as_people_write_them(tmp_path):
    path = write(tmp_path, "training: {optimizer: {learning_rate: 1e-3}}")
    assert config.load(path).training.optimizer.learning_rate == 0.001
    assert config.load(path, ["augmentation.shift=5E-2"]).augmentation.shift == 0.05


def test_empty_file_is_all_defaults(tmp_path):
    assert config.load(write(tmp_path, "")) == config.Config()


def test_overrides_reach_nested_values_and_list_places(tmp_path):
    path = write(tmp_path, "architectures: [small, mlp]\nfolds: {count: 4}")
    loaded = config.load(
        path,
        ["training.epochs=7", "folds.count=3", "architectures.1.name=wide", "architectures.1.net=small"],
    )
    assert loaded.training.epochs == 7
    assert loaded.folds.count == 3
    assert [architecture.label for architecture in loaded.architectures] == ["small", "wide"]


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        ("trainig: {epochs: 3}", [], "unknown key 'trainig'; did you mean 'training'?"),
        ("training: {epoch: 3}", [], "did you mean 'training.epochs'?"),
        ("training: {epochs: many}", [], "training.epochs: input should be a valid integer, found 'many'"),
        ("training: {epochs: 0}", [], "training.epochs: input should be greater than or equal to 1"),
        ("training: {epochs: 1.5}", [], "training.epochs"),
        ("training: {epochs: true}", [], "training.epochs"),
        ("training: 3", [], "training: "),
        ("augmentation: {shift: 1.5}", [], "augmentation.shift: input should be less than 1"),
        ("training: {ema: .nan}", [], "training.ema: input should be a finite number"),
        ("architectures: [lenet]", [], "unknown architecture 'lenet'; known: default, strided"),
        ("architectures: []", [], "architectures: "),
        ("architectures: [small, small]", [], "two architectures are called 'small'"),
        ("architectures: [{net: small, name: ../x}]", [], "architectures.0.name"),
        ("folds: {count: 3, limit: 4}", [], "folds: limit 4 is more than the 3 folds"),
        ("training: {schedule: {name: plateau}, early_stopping: {inner_split: 0.0}}", [], "inner_split"),
        ("training: {epochs: 2, clean_epochs: 2}", [], "clean_epochs 2 leaves none of the 2 epochs to augment"),
        ("training: {clean_epochs: 1, early_stopping: {patience: 2}}", [], "clean_epochs are the last ones"),
        ("training: {schedule: {milestones: [0.5, 1.0]}}", [], "schedule.milestones.1: input should be less than 1"),
        ("training: {schedule: {milestones: []}}", [], "training.schedule.milestones: list should have at least 1"),
        ("[1, 2]", [], "expected 'key: value' lines, found a list"),
        ("a: [", [], "not valid YAML"),
        ("[" * 5000, [], "not valid YAML"),
        ("training: {epochs: 3}\ntraining: {ema: 0.5}", [], "key 'training' stands twice"),
        ("augmentation: {elastic: {sigma: 0.5}}", [], "augmentation.elastic.sigma"),
        ("", ["architectures.\u00b2.net=mlp"], "is not one of the 2 list items"),
        ("", ["architectures.0\n1.net=mlp"], "'0 1' is not one of the 2 list items"),
        ("", ["training.epochs"], "expected key=value"),
        ("", ["seed.deep=1"], "'seed' is a single value, not a group"),
        ("", ["folds.limit.deep=1"], "'limit' is a single value, not a group"),
        ("", ["architectures=[mlp]", "architectures.0.name=x"], "'0' is a single value, not a group"),
        ("", ["a.b=1"], "unknown key 'a'"),
        ("architectures: [small]", ["architectures.1.name=x"], "'1' is not one of the 1 list items"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, overrides, said):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as error:
        config.load(path, overrides)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        config.load(tmp_path / "none.yaml")
    (tmp_path / "some.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"some\.yaml"):
        config.load(tmp_path / "some.yaml")


def test_differences_name_the_keys():
    ours = {"seed": 1, "training": {"epochs": 3, "ema": 0.0}}
    theirs = {"seed": 1, "training": {"epochs": 5, "ema": 0.0}}
    assert config.differences(ours, theirs) == ["training.epochs (5 -> 3)"]
