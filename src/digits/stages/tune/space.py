"""The search space: which config values are searched, and in what range."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, JsonValue, ValidationError, model_validator

from digits import config, models
from digits.config import Config, Section
from digits.errors import UserError, shown
from digits.training import backend

if TYPE_CHECKING:
    from keras_tuner import HyperParameters


MOST_STEPS = 1_000_000  # of a range
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]  # what a float holds exactly
Real = Annotated[float | int, Field(ge=-(2**53), le=2**53)]


class Range(Section):
    """Values that one config key may take: `{choice: [...]}`, `{int: [low, high]}` or `{float: [low, high]}`.

    A range of numbers includes both ends; `step` makes it a grid, `log: true` draws it evenly over its decades.
    """

    choice: list[JsonValue] | None = Field(None, min_length=2)
    whole: list[Whole] | None = Field(None, alias="int", min_length=2, max_length=2)
    real: list[Real] | None = Field(None, alias="float", min_length=2, max_length=2)
    step: Annotated[Real, Field(gt=0)] | None = None
    log: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        kinds = [kind for kind in (self.choice, self.whole, self.real) if kind is not None]
        if len(kinds) != 1:
            raise ValueError("expected one of choice, int and float")
        if self.choice is None and self.ends[0] >= self.ends[1]:
            raise ValueError(f"{self.ends[0]} to {self.ends[1]} is no range from low to high")
        if self.log and (self.choice is not None or self.step is not None or self.ends[0] <= 0):
            raise ValueError("log: true takes a range of numbers above zero, without a step")
        if self.choice is not None and self.step is not None:
            raise ValueError("a choice has no step")
        if self.whole is not None and self.step is not None and not isinstance(self.step, int):
            raise ValueError("the step of int is a whole number")
        if self.step is not None and self.ends[1] - self.ends[0] > MOST_STEPS * self.step:
            raise ValueError(f"more than {MOST_STEPS:,} steps")
        if self.choice is not None and len({json.dumps(value) for value in self.choice}) < len(self.choice):
            raise ValueError("a choice stands twice")
        return self

    @property
    def ends(self) -> list[Any]:
        """Values that stand for all: the lowest and the highest, or every choice."""
        return self.choice or self.whole or self.real

    @property
    def is_scale(self) -> bool:
        """Values are numbers with an order; other choices are known by their JSON text."""
        return self.choice is None or all(type(value) in (int, float) for value in self.choice)

    def declare(self, name: str, into: HyperParameters) -> None:
        """Add this range to keras-tuner's hyperparameters."""
        sampling = "log" if self.log else "linear"
        if self.whole:
            into.Int(name, *self.whole, step=self.step, sampling=sampling)
        elif self.real:
            into.Float(name, *map(float, self.real), step=self.step, sampling=sampling)
        elif self.is_scale:
            kind = float if any(isinstance(value, float) for value in self.choice) else int
            into.Choice(name, [kind(value) for value in self.choice], ordered=True)
        else:
            into.Choice(name, [json.dumps(value) for value in self.choice], ordered=False)

    def read(self, value: Any) -> Any:
        """The config value that keras-tuner's value stands for."""
        if not self.is_scale:
            return json.loads(value)
        if self.choice is not None:
            return next(choice for choice in self.choice if choice == value)
        return float(f"{value:.4g}") if self.real else value  # as best.yaml writes it

    def holds(self, number: float) -> bool:
        """A range of numbers has this one, at one of its steps."""
        low, high = self.ends
        steps = 0.0 if self.step is None else (number - low) / self.step
        return low <= number <= high and math.isclose(steps, round(steps), abs_tol=1e-9)


@dataclass(frozen=True)
class Space:
    """base: the config of every trial but for its searched values. ranges: by dotted config key."""

    base: Config
    ranges: dict[str, Range]

    def config(self, values: dict[str, Any]) -> Config:
        """The config of a trial from keras-tuner's values; of its own ones hyperband's epochs count."""
        chosen = {key: range_.read(values[key]) for key, range_ in self.ranges.items()}
        if "tuner/epochs" in values:
            chosen["training.epochs"] = values["tuner/epochs"]
        return config.replaced(self.base, chosen, "of the trial")

    def own_values(self) -> dict[str, Any] | None:
        """keras-tuner's values for the base config itself; None where a range does not hold its value."""
        values = {key: self._own_value(key, range_) for key, range_ in self.ranges.items()}
        return None if None in values.values() else values

    def _own_value(self, key: str, range_: Range) -> Any:
        if range_.choice is not None:
            same = (
                value
                for value in range_.choice
                if config.replaced(self.base, {key: value}, "of the space") == self.base
            )
            return next((value if range_.is_scale else json.dumps(value) for value in same), None)
        value = config.value_at(self.base.model_dump(), key)
        return value if type(value) in (int, float) and range_.holds(value) else None

    def declare(self, into: HyperParameters) -> None:
        """Add every range to keras-tuner's hyperparameters."""
        for key, range_ in self.ranges.items():
            range_.declare(key, into)

    def record(self) -> dict[str, dict[str, Any]]:
        """The ranges as plain values, in the form of the file."""
        dump = {"by_alias": True, "exclude_defaults": True}
        return {key: range_.model_dump(**dump) for key, range_ in self.ranges.items()}


def load(path: Path, base: Config, overrides: list[str]) -> Space:
    """Read a space file: `search:` names config keys and their ranges, `set:` what all trials have otherwise.

    base: what holds where the file says nothing. overrides: `key=value` that hold whatever the file says.

    Raises:
        UserError: the file cannot be read, a key does not exist, or a value of a range is not valid.
    """
    content = config.read_file(path)
    unknown = set(content) - {"set", "search"}
    if unknown:
        raise UserError(f"space {path}: unknown key '{shown(min(map(str, unknown)))}'; expected set and search")
    settings, ranges = content.get("set") or {}, content.get("search") or {}
    if not isinstance(settings, dict) or not isinstance(ranges, dict) or not ranges:
        raise UserError(
            f"space {path}: expected 'search:' with a 'key: {{float: [low, high]}}' for each searched value"
        )
    return parse(ranges, config.revise(base, overrides, str(path), settings), str(path))


def parse(ranges: dict[str, Any], base: Config, origin: str) -> Space:
    """Check every range: each of its ends must make a valid config.

    Raises:
        UserError: one does not.
    """
    for key in ranges:
        if not isinstance(key, str):
            raise UserError(f"space {origin}: {shown(str(key))} is no config key")
    parsed = {key: _range(key, values, origin) for key, values in ranges.items()}
    for key, range_ in parsed.items():
        if key.partition(".")[0] in ("data", "tune", "cluster", "ensemble", "seed", "seeds", "folds", "tuned_on"):
            raise UserError(f"space {origin}: {key}: a trial is not judged by it, so it cannot be searched")
        if key == "training.epochs" and base.tune.tuner == "hyperband":
            raise UserError(f"space {origin}: hyperband decides training.epochs itself; search something else")
        for value in range_.ends:
            config.replaced(base, {key: value}, f"{origin} (search)")
    return Space(base, parsed)


def check_options(space: Space, origin: str) -> None:
    """Check that the nets have every option that the space gives them. Imports TensorFlow.

    Raises:
        UserError: one has not.
    """
    backend.load()  # which the nets import, loudly
    for key, range_ in space.ranges.items():
        for value in range_.ends if key.startswith("architectures") else ():
            for architecture in config.replaced(space.base, {key: value}, origin).architectures:
                try:
                    models.check_options(architecture)
                except UserError as error:
                    raise UserError(f"space {origin}: {error}") from None


def _range(key: str, values: Any, origin: str) -> Range:
    try:
        return Range.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        message = problem["msg"].removeprefix("Value error, ")
        where = ".".join([key, *(str(part) for part in problem["loc"])])
        raise UserError(f"space {origin}: {shown(f'{where}: {message[0].lower()}{message[1:]}')}") from None
