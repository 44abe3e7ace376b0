"""The configuration: frozen, typed, strict. `configs/default.yaml` gives every value its reason.

A config file holds only what differs from the defaults below. An unknown key, a wrong type or an impossible value is an
error that names the key.
"""

from __future__ import annotations

import copy
import difflib
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from digits.errors import UserError, shown
from digits.files import limits, yaml

logger = logging.getLogger(__name__)

Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

SOURCES = ("aligned", "raw", "logits", "pixels")  # of the spaces in which rows are clustered
STEPS = ("pca", "tsne", "umap")
MOST_MEMBERS = 100_000  # of a run


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and wrong types."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Data(Section):
    corrections: str | None = Field(None, min_length=1)


class Folds(Section):
    count: int = Field(10, ge=2, le=1000)
    limit: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _limit_within_count(self) -> Folds:
        if self.limit is not None and self.limit > self.count:
            raise ValueError(f"limit {self.limit} is more than the {self.count} folds")
        return self

    @property
    def trained(self) -> range:
        """The folds that are trained."""
        return range(self.limit or self.count)


class Architecture(Section):
    """A net of the registry, with options of its builder; a bare name stands for `{net: name}`."""

    net: str
    name: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9_]*$")
    options: dict[str, float | int | str | bool] = {}

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"net": value} if isinstance(value, str) else value

    @field_validator("net")
    @classmethod
    def _known(cls, net: str) -> str:
        from digits.models import NETS

        if net not in NETS:
            raise ValueError(f"unknown architecture '{net}'; known: {', '.join(NETS)}")
        return net

    @property
    def label(self) -> str:
        """Name in member folders and tables."""
        return self.name or self.net


class Optimizer(Section):
    name: Literal["adam", "adamw", "sgd", "rmsprop", "adadelta"] = "adam"
    learning_rate: Positive = 0.003
    momentum: Fraction = 0.9
    beta_2: Fraction = 0.99
    weight_decay: NonNegative = 0.0


class Schedule(Section):
    name: Literal["one_cycle", "cosine", "exponential", "steps", "plateau", "constant"] = "one_cycle"
    warmup: Fraction = 0.25
    decay: Annotated[float, Field(gt=0, le=1)] = 0.95
    milestones: list[Annotated[float, Field(gt=0, lt=1)]] = Field([0.7, 0.85], min_length=1, max_length=100)
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: int = Field(3, ge=1)
    minimum: NonNegative = 0.0


class EarlyStopping(Section):
    patience: int | None = Field(None, ge=1)
    inner_split: Fraction = 0.1


class Training(Section):
    epochs: int = Field(15, ge=1, le=100_000)
    clean_epochs: int = Field(0, ge=0)
    clean_rate: Positive = 1e-5
    batch_size: int = Field(128, ge=1, le=1_000_000)
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    label_smoothing: Fraction = 0.1
    ema: Fraction = 0.998
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    threads: int = Field(1, ge=1, le=1000)
    monitor_rows: int | None = Field(2000, ge=1)
    early_stopping: EarlyStopping = EarlyStopping()

    @property
    def watches(self) -> bool:
        """A split from inside the training folds is held back and watched."""
        return self.early_stopping.patience is not None or self.schedule.name == "plateau"

    @model_validator(mode="after")
    def _something_to_watch(self) -> Training:
        if self.watches and not self.early_stopping.inner_split:
            raise ValueError("early stopping and the plateau schedule need early_stopping.inner_split")
        return self

    @model_validator(mode="after")
    def _clean_epochs_are_the_last(self) -> Training:
        if self.clean_epochs >= self.epochs:
            raise ValueError(f"clean_epochs {self.clean_epochs} leaves none of the {self.epochs} epochs to augment")
        if self.clean_epochs and self.early_stopping.patience is not None:
            raise ValueError("clean_epochs are the last ones, before which early stopping may end training; choose one")
        return self


class Elastic(Section):
    probability: Probability = 0.0
    alpha: float = Field(30.0, ge=0, le=10_000)
    sigma: float = Field(5.0, ge=1, le=100)


class GridDistortion(Section):
    probability: Probability = 0.0
    steps: int = Field(4, ge=1, le=1000)
    limit: Fraction = 0.3


class Erasing(Section):
    probability: Probability = 0.0
    scale: Annotated[float, Field(gt=0, le=1)] = 0.1


class Augmentation(Section):
    rotation: float = Field(12.0, ge=0, le=360)
    shift: Fraction = 0.1
    zoom: Fraction = 0.12
    shear: float = Field(8.0, ge=0, lt=90)
    elastic: Elastic = Elastic()
    grid: GridDistortion = GridDistortion()
    erasing: Erasing = Erasing()
    pack: int = Field(16, ge=1, le=10_000)

    @property
    def is_affine(self) -> bool:
        """Images are turned, moved, zoomed or sheared."""
        return any((self.rotation, self.shift, self.zoom, self.shear))

    @property
    def is_active(self) -> bool:
        """Images are changed at all."""
        return self.is_affine or any((self.elastic.probability, self.grid.probability, self.erasing.probability))


class Ensembling(Section):
    rule: Literal["mean", "logits", "vote"] = "mean"


class Cluster(Section):
    method: Literal["kmeans", "gaussian_mixture", "ward", "dbscan", "hdbscan", "spectral"] = "kmeans"
    space: str = "aligned"
    k: int | None = Field(None, ge=2, le=100_000)
    rows: int | None = Field(None, ge=100)
    minibatch_from: int = Field(200_000, ge=1)
    maps: list[Literal["tsne", "umap"]] = ["tsne", "umap"]
    map_rows: int = Field(10_000, ge=100)
    perplexity: float = Field(30.0, gt=0, le=10_000)
    table_rows: int = Field(5_000, ge=100)

    @field_validator("space")
    @classmethod
    def _known(cls, space: str) -> str:
        source, *steps = space.split("-")
        if source not in SOURCES or not set(steps) <= set(STEPS):
            known = f"{', '.join(SOURCES)}, followed by any of {', '.join(STEPS)}, such as pixels-pca-tsne"
            raise ValueError(f"unknown space '{space}'; known: {known}")
        return space


class Tune(Section):
    tuner: Literal["bayesian", "hyperband", "random"] = "bayesian"
    objective: Literal["log_loss", "accuracy"] = "log_loss"
    trials: int | None = Field(30, ge=1, le=1_000_000)
    hours: float | None = Field(None, gt=0, le=100_000)
    folds: int = Field(3, ge=2, le=1000)
    rows: int | None = Field(None, ge=100)
    nested: bool = False
    factor: int = Field(3, ge=2, le=1000)
    median_rule: bool = True
    trial_minutes: float | None = Field(None, gt=0, le=1_000_000)


class Config(Section):
    seed: int = Field(2026, ge=0, lt=2**64)
    data: Data = Data()
    folds: Folds = Folds()
    architectures: list[Architecture] = Field(
        [Architecture(net="default", options={"dropout": 0.3}), Architecture(net="strided")],
        min_length=1,
        max_length=100,
    )
    seeds: int = Field(1, ge=1, le=1000)
    training: Training = Training()
    augmentation: Augmentation = Augmentation()
    tta: Literal["none", "shifts"] = "none"
    ensemble: Ensembling = Ensembling()
    cluster: Cluster = Cluster()
    tune: Tune = Tune()
    tuned_on: str | None = None

    @property
    def epochs_per_fold(self) -> int:
        """Epochs of a fold's networks together, one of each architecture."""
        return self.training.epochs * len(self.architectures)

    def with_training(self, **settings: Any) -> Config:
        """Copy the config with other settings of training, which are not checked."""
        return self.model_copy(update={"training": self.training.model_copy(update=settings)})

    @model_validator(mode="after")
    def _members_are_few_and_differ(self) -> Config:
        members = self.seeds * len(self.architectures) * len(self.folds.trained)
        if members > MOST_MEMBERS:
            raise ValueError(f"{members:,} networks are more than the {MOST_MEMBERS:,} that a run may have")
        (label, times), *_ = Counter(architecture.label for architecture in self.architectures).most_common(1)
        if times > 1:
            raise ValueError(f"two architectures are called '{label}'; give one a name of its own")
        return self


def load(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML config and apply `key.sub=value` overrides.

    Raises:
        UserError: the file cannot be read, or a key or value is not valid.
    """
    config = parse(read_file(Path(path)), str(path))
    return revise(config, overrides, str(path)) if overrides else config


def read_file(path: Path) -> dict[str, Any]:
    """Read the nested settings of a YAML file.

    Raises:
        UserError: it cannot be read, or holds no settings.
    """
    try:
        text = limits.read_bytes(path, limits.CONFIG_BYTES, "config").decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"config {path}: {reason}; see configs/ for the ones that exist") from None
    try:
        values = yaml.parse(text)
    except ValueError as error:
        raise UserError(f"config {path}: not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"config {path}: expected 'key: value' lines, found a {type(values).__name__}")
    return values


def parse(values: dict[str, Any], origin: str) -> Config:
    """Validate nested settings; `origin` names their source in an error.

    Raises:
        UserError: a key or value is not valid.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UserError(f"config {shown(origin)}: {shown(_explain(error))}") from None


def parse_recorded(values: dict[str, Any], origin: str) -> Config:
    """Validate the settings that a run recorded, perhaps in an earlier version, whose keys are named in a warning.

    Raises:
        UserError: a key or value is not valid.
    """
    values, changes = copy.deepcopy(values), []
    tune, ensemble = (values.get(name) if isinstance(values.get(name), dict) else {} for name in ("tune", "ensemble"))
    if tune.pop("tensorboard", None) is not None:
        changes.append("tune.tensorboard is ignored")
    if ensemble.get("rule") == "geometric":  # the normalised geometric mean of softmaxes
        ensemble["rule"] = "logits"
        changes.append("ensemble.rule geometric is logits")
    if changes:
        logger.warning("%s is of an earlier version: %s", origin, ", ".join(changes))
    return parse(values, origin)


def replaced(config: Config, values: dict[str, Any], origin: str) -> Config:
    """Replace the values of dotted keys, such as `training.epochs`.

    Raises:
        UserError: a key or value is not valid.
    """
    resolved = config.model_dump()
    for key, value in values.items():
        _put(resolved, key, value, f"{origin}: {key}")
    return parse(resolved, origin)


def revise(config: Config, overrides: Sequence[str], origin: str, settings: dict[str, Any] | None = None) -> Config:
    """Replace a config's settings by nested ones, then by `key.sub=value` overrides.

    Raises:
        UserError: a key or value is not valid.
    """
    resolved = config.model_dump()  # where every key that an override can name is spelled out
    _merge(resolved, settings or {})
    for override in overrides:
        key, equals, text = override.partition("=")
        label = f"override '{shown(override)}'"
        if not equals or not key:
            raise UserError(f"{label}: expected key=value, such as training.epochs=3")
        try:
            value = yaml.parse(text)
        except ValueError:
            raise UserError(f"{label}: '{shown(text)}' is not a YAML value") from None
        _put(resolved, key, value, label)
    return parse(resolved, f"{origin} with {' '.join(overrides)}" if overrides else origin)


def _merge(values: dict[str, Any], others: dict[str, Any]) -> None:
    """Replace nested settings by others."""
    for key, value in others.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _put(values: dict[str, Any], path: str, value: Any, origin: str) -> None:
    """Put a value at a dotted path, whose missing groups are made; a whole number in it indexes a list."""
    *parents, last = path.split(".")
    node: Any = values
    for parent in parents:
        node = node[_index(parent, node, origin)] if isinstance(node, list) else node.setdefault(parent, {})
        if not isinstance(node, dict | list):
            raise UserError(f"{origin}: '{shown(parent)}' is a single value, not a group")
    node[_index(last, node, origin) if isinstance(node, list) else last] = value


def _index(text: str, items: list[Any], origin: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5) or int(text) >= len(items):
        raise UserError(f"{origin}: '{shown(text)}' is not one of the {len(items)} list items 0, 1, ...")
    return int(text)


def value_at(values: dict[str, Any], path: str) -> Any:
    """Value at a dotted path of nested settings; None where there is none."""
    node: Any = values
    for part in path.split("."):
        if isinstance(node, list):
            node = node[int(part)] if part.isdigit() and int(part) < len(node) else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return node


def _explain(error: ValidationError) -> str:
    """The first problem of a validation, in words, with the nearest known key for a typo."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0.4)
        return f"unknown key '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")
    if problem["type"] in ("value_error", "missing"):
        return f"{key}: {message}" if key else message
    try:
        found = repr(problem["input"])
    except (ValueError, RecursionError):  # Python writes out no number of thousands of digits, and no deep nesting
        found = "what cannot be written out"
    return f"{key}: {message[0].lower()}{message[1:]}, found {found}"


def known_keys(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key that a config may hold."""
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> list[str]:
    """The dotted keys in which two resolved configs differ, as `key (theirs -> ours)`."""
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        new, old = ours.get(key), theirs.get(key)
        if isinstance(new, dict) and isinstance(old, dict):
            found += differences(new, old, f"{prefix}{key}.")
        elif new != old:
            found.append(f"{prefix}{key} ({old} -> {new})")
    return found
